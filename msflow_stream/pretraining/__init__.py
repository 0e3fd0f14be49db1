"""The training of the embedded backbone on scenes made from formulas."""
