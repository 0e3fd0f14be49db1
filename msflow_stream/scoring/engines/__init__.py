"""Engines: what compiles and runs the networks of scenes, a file each; `config.engines` is their registry."""
