"""Places that a person names: paths on this machine, and URLs of object storage such as s3://bucket/folder."""

from __future__ import annotations

import re
from pathlib import Path

from msflow_stream.logs import USER_INFO, redact
from msflow_stream.types import UserError

Spec = Path | str  # a path, or the URL of an object or of a folder of objects
SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
NOT_STORED = frozenset({"rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt"})  # cameras
FILE = "file://"


def is_url(spec: Spec) -> bool:
    """Returns whether this is a URL of object storage, and neither a path nor a camera's.

    >>> is_url("s3://bucket/clips"), is_url("rtsp://camera/stream"), is_url("clips/today.mp4")
    (True, False, False)
    """
    match = SCHEME.match(spec) if isinstance(spec, str) else None
    return match is not None and match[1].lower() not in NOT_STORED | {"file"}


def located(text: str) -> Spec:
    """Returns what a person typed as a path, or as a URL of object storage.

    Raises:
        UserError: the URL has credentials in it.
    """
    if is_url(text):
        if USER_INFO.match(text):
            raise UserError(f"{redact(text)}: credentials do not belong in a URL; set them in the environment")
        return text.rstrip("/")
    return Path(text.removeprefix(FILE))


def joined(spec: Spec, name: str) -> Spec:
    """Returns what is called `name` below a place."""
    return spec / name if isinstance(spec, Path) else f"{spec.rstrip('/')}/{name}"


def absolute(spec: Spec) -> Spec:
    """Returns a place as every machine that shares the folders can find it."""
    return spec.resolve() if isinstance(spec, Path) else spec


def last_part(url: str) -> str:
    """Returns the name of what is at a URL or a path."""
    return url.rstrip("/").rpartition("/")[2]


def parent(spec: Spec) -> Spec:
    """Returns the place that something is in."""
    return spec.parent if isinstance(spec, Path) else spec.rstrip("/").rpartition("/")[0]
