"""Images made from formulas alone, labelled with what they are made of."""
