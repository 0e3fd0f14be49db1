"""Cameras: connections that fail and come again become frames with one index and one clock."""
