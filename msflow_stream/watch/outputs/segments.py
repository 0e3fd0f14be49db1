"""The recorded segments of a folder: their names, and the removal of old ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from msflow_stream.files import Retention, StoredItem

STAMP = "%Y-%m-%dT%H%M%SZ"
NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d{6}Z)(?:\.(\d+))?\.mp4")


def remove_old_segments(folder: Path, retention: Retention, now: datetime, writing: Path | None = None) -> int:
    """Removes the oldest segments of a folder as far as needed, never `writing`, and returns how many that were.

    A segment is as old as its name says.

    Raises:
        OSError: the folder cannot be read, or a segment cannot be removed: newer ones do not pay for it.
    """
    return retention.enforce(segments(folder), now, () if writing is None else (writing,))


def segments(folder: Path) -> Iterator[StoredItem]:
    """Yields the segments in a folder, the oldest first, whoever wrote them; other files are not looked at.

    Raises:
        OSError: the folder cannot be read.
    """
    found = []
    for path in folder.iterdir():
        match = NAME.fullmatch(path.name)
        start = _start(match[1]) if match else None
        if match and start and path.is_file() and not path.is_symlink():
            found.append(StoredItem(start, int(match[2] or 0), path, path.stat().st_size))
    yield from sorted(found)


def free_path(folder: Path, start: datetime) -> Path:
    """Returns a name for a new segment that starts at `start` (UTC) and sorts behind those of the same second."""
    stamp = start.astimezone(UTC).strftime(STAMP)
    taken = [int(m[2] or 0) for path in folder.iterdir() if (m := NAME.fullmatch(path.name)) and m[1] == stamp]
    return folder / (f"{stamp}.{max(taken) + 1}.mp4" if taken else f"{stamp}.mp4")


def _start(stamp: str) -> datetime | None:
    try:
        return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
