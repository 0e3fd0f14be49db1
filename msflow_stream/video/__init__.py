"""Video, with FFmpeg, OpenCV and Pillow alone: reading, cameras, coded packets, writing and drawing."""
