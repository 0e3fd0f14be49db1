"""Measures of detection: pure functions, and accumulators of constant memory."""
