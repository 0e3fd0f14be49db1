"""The jobs on many machines, by Ray."""
