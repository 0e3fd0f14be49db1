"""Reading: video files and folders of images become frames with exact indices."""
