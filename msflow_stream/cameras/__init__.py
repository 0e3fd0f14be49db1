"""cameras.yaml: which cameras are watched, and how; each mistake is one line that names the line of the file."""

from msflow_stream.cameras.file import json_schema, load_cameras, load_file
from msflow_stream.cameras.settings import Camera, Cameras, CameraSettings

__all__ = ["Camera", "CameraSettings", "Cameras", "json_schema", "load_cameras", "load_file"]
