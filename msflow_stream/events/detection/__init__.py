"""Detection: scores above thresholds become events, with regions and tracks."""
