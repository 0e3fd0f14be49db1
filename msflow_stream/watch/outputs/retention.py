"""Which recorded segments stay on the disk: names, age, total size, free space."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

STAMP = "%Y-%m-%dT%H%M%SZ"
NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d{6}Z)(?:\.(\d+))?\.mp4")


class Segment(NamedTuple):
    """A recorded file; they sort by age, the oldest first."""

    start: datetime
    number: int  # among those that started in the same second
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Retention:
    """How long segments are kept; None sets no bound.

    Attributes:
        keep_days: age by the start that the name tells.
        keep_bytes: of all segments of a folder, with the one that is being written.
        min_free_bytes: of the disk that is left free.
    """

    keep_days: float | None = None
    keep_bytes: int | None = None
    min_free_bytes: int | None = None

    def enforce(self, folder: Path, now: datetime, writing: Path | None = None) -> int:
        """Removes the oldest segments of a folder as far as needed, never `writing`, and says how many.

        Raises:
            OSError: the folder cannot be read, or a segment cannot be removed: newer ones do not pay for it.
        """
        if self == Retention():
            return 0
        found = segments(folder)
        excess = 0 if self.keep_bytes is None else sum(segment.size for segment in found) - self.keep_bytes
        # Space that is given back may take a while to show, so it is not asked for again after each removal.
        missing = 0 if self.min_free_bytes is None else self.min_free_bytes - shutil.disk_usage(folder).free
        removed = 0
        for segment in found:
            if segment.path == writing:
                continue
            old = self.keep_days is not None and now - segment.start > timedelta(days=self.keep_days)
            if not old and excess <= 0 and missing <= 0:
                break
            segment.path.unlink(missing_ok=True)
            excess, missing, removed = excess - segment.size, missing - segment.size, removed + 1
        return removed


def segments(folder: Path) -> list[Segment]:
    """The segments in a folder, the oldest first, whoever wrote them; other files are not looked at.

    Raises:
        OSError: the folder cannot be read.
    """
    found = []
    for path in folder.iterdir():
        match = NAME.fullmatch(path.name)
        start = _start(match[1]) if match else None
        if match and start and path.is_file() and not path.is_symlink():
            found.append(Segment(start, int(match[2] or 0), path, path.stat().st_size))
    return sorted(found)


def free_path(folder: Path, start: datetime) -> Path:
    """A name for a new segment that starts at `start` (UTC) and sorts behind those of the same second."""
    stamp = start.astimezone(UTC).strftime(STAMP)
    taken = [int(m[2] or 0) for path in folder.iterdir() if (m := NAME.fullmatch(path.name)) and m[1] == stamp]
    return folder / (f"{stamp}.{max(taken) + 1}.mp4" if taken else f"{stamp}.mp4")


def _start(stamp: str) -> datetime | None:
    try:
        return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
