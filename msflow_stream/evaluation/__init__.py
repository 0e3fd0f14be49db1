"""Evaluation: labelled cases are scored, measured and reported."""
