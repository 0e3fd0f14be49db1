"""Live frames and states for browsers: asked of the watch once, however many look."""
