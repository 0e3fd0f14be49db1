"""Access to the console: who may see and do what."""
