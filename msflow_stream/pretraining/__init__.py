"""How the embedded backbone learns: scenes made from formulas, seen badly, and what it has to say about them."""
