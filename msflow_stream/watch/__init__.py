"""Many cameras watched day and night: each with its scene, its events and its outputs."""
