"""The terminal: progress bars, tables, status and logs."""
