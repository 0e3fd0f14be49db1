"""The events of a folder whose evidence may be removed, and their removal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from msflow_stream.events.evidence.event_folder import EVENT, KEEP, event_folders
from msflow_stream.files import Retention, StoredItem


def remove_old_events(
    folder: Path,
    retention: Retention,
    now: datetime,
    open_ones: Collection[str] = (),
    is_kept: Callable[[str], bool] = lambda _: False,
) -> int:
    """Removes the oldest events of a folder as far as needed, and returns how many that were.

    An event is as old as the last change of what is known of it. Only folders that hold an event.json, and nothing that
    is not ours, are looked at. Events that are marked to be kept, by a file named `keep` in their folder or by
    `is_kept`, are not removed and do not count.

    Args:
        open_ones: ids of events that are never removed.
        is_kept: whether an event, by its id, is marked to be kept.

    Raises:
        OSError: the folder cannot be read, or an event cannot be removed: newer ones do not pay for it.
    """
    in_use = [folder / id for id in open_ones]
    return retention.enforce(_stored_events(folder), now, in_use, lambda path: is_kept(path.name), _remove)


def _stored_events(folder: Path) -> Iterator[StoredItem]:
    found = []
    for path in event_folders(folder):
        if not (path / KEEP).exists():
            changed = datetime.fromtimestamp((path / EVENT).stat().st_mtime, UTC)
            found.append(StoredItem(changed, 0, path, sum(entry.stat().st_size for entry in path.iterdir())))
    yield from sorted(found)


def _remove(folder: Path) -> None:
    """Removes an event's files, event.json at the end: what is left by a power cut is still known as ours."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == EVENT):
        path.unlink(missing_ok=True)
    folder.rmdir()
