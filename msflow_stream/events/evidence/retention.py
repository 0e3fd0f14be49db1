"""Which events keep their evidence on the disk: by age, total size, free space."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from msflow_stream.events.evidence.event_folder import EVENT, KEEP, event_folders

logger = logging.getLogger(__name__)


class Kept(NamedTuple):
    """An event's folder; they sort by age, the oldest first."""

    changed: float  # when event.json was written last, in seconds since the epoch
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class EvidenceRetention:
    """How long evidence is kept; None sets no bound.

    Events that are marked to be kept, by a file named `keep` in their folder or by `is_kept`, are not removed and do
    not count.

    Attributes:
        keep_days: age, by the last change of what is known of the event.
        keep_bytes: of all events of a folder together.
        min_free_bytes: of the disk that is left free.
    """

    keep_days: float | None = None
    keep_bytes: int | None = None
    min_free_bytes: int | None = None

    def enforce(
        self,
        folder: Path,
        now: datetime,
        open_ones: Collection[str] = (),
        is_kept: Callable[[str], bool] = lambda _: False,
    ) -> int:
        """Removes the oldest events of a folder as far as needed, never open ones, and says how many.

        Only folders that hold an event.json, and nothing that is not ours, are looked at.

        Raises:
            OSError: the folder cannot be read, or an event cannot be removed: newer ones do not pay for it.
        """
        if self == EvidenceRetention():
            return 0
        found = [kept for kept in _events(folder) if not (kept.path / KEEP).exists()]
        excess = 0 if self.keep_bytes is None else sum(kept.size for kept in found) - self.keep_bytes
        # Space that is given back may take a while to show, so it is not asked for again after each removal.
        missing = 0 if self.min_free_bytes is None else self.min_free_bytes - shutil.disk_usage(folder).free
        removed = 0
        for kept in found:
            age = timedelta(seconds=now.timestamp() - kept.changed)
            old = self.keep_days is not None and age > timedelta(days=self.keep_days)
            if not old and excess <= 0 and missing <= 0:
                break
            if kept.path.name in open_ones:
                continue
            if is_kept(kept.path.name):
                excess -= kept.size
                continue
            _remove(kept.path)
            excess, missing, removed = excess - kept.size, missing - kept.size, removed + 1
        return removed


def _events(folder: Path) -> list[Kept]:
    found = []
    for path in event_folders(folder):
        size = sum(entry.stat().st_size for entry in path.iterdir())
        found.append(Kept((path / EVENT).stat().st_mtime, path, size))
    return sorted(found)


def _remove(folder: Path) -> None:
    """Removes an event's files, event.json at the end: what is left by a power cut is still known as ours."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == EVENT):
        path.unlink(missing_ok=True)
    folder.rmdir()
