"""Pictures made from formulas alone, with what they are made of: what the embedded backbone learns from."""
