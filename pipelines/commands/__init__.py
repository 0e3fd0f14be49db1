"""The command line: each module parses the arguments of some verbs, and calls one job for each."""
