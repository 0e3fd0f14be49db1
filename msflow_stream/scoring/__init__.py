"""Engines: what runs a scene's networks when it scores, in which precision, and how one is chosen."""
