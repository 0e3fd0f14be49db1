"""The candidate: what a scene learns from what people labelled normal, and how it compares with the live scene."""
