"""Sinks of one watched camera: score log, recordings, preview, restream."""
