"""Video, with FFmpeg and OpenCV alone: reading, cameras, coded packets, writing and drawing."""
