"""The ids of events: unique, fit for a file's name, and in order of time for one source."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC
from pathlib import Path

from msflow_stream.files import file_hash
from msflow_stream.types import FrameScore
from msflow_stream.video.reading.image_folder import image_files

NAME_LENGTH = 64  # of the source's name in it


def event_id(first: FrameScore, origin: str) -> str:
    """Returns the id of the event that begins with a frame, such as gate-20261123T232138.200Z-7f3a90c2.

    A frame of a file has its index for a time, and the same id whenever the file is scored in the same way.

    Args:
        first: the first frame of the event.
        origin: whatever else tells events apart that have source, scene, and index or time of arrival in common.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", first.source)[:NAME_LENGTH].strip("._-") or "source"
    arrival = "" if first.wall is None else first.wall.astimezone(UTC).isoformat(timespec="microseconds")
    facts = "\0".join((origin, first.source, first.scene, str(first.index), arrival))
    digest = hashlib.sha256(facts.encode(errors="surrogateescape")).hexdigest()[:8]
    when = f"{re.sub('[-:]', '', arrival[:23])}Z" if arrival else f"{first.index:08d}"
    return f"{name}-{when}-{digest}"


def origin_of(path: Path) -> str:
    """Returns a hash of the content of a video or a folder of images, which tells it from others of its name."""
    if not path.is_dir():
        return file_hash(path)
    return hashlib.sha256("".join(map(file_hash, image_files(path))).encode()).hexdigest()
