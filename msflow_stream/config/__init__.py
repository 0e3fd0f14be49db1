"""Settings that a person writes: of scenes, of cameras.yaml and of alerts."""
