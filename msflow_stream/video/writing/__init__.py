"""Writing: frames become MP4 files."""
