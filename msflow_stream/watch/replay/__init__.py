"""Replay: what a camera recorded, and what its detector would have said of it."""
