"""The folder of one event: its files, its event.json, and when it is removed."""

from __future__ import annotations

import json
import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msflow_stream.events.serialization import from_json, to_json
from msflow_stream.files import Retention, StoredItem, write_json
from msflow_stream.types import EventMessage

logger = logging.getLogger(__name__)

EVIDENCE_FOLDER = "events"  # below the source's folder; holds a folder per event
EVENT, KEEP, SNAPSHOT, SNAPSHOT_OVERLAY = "event.json", "keep", "snapshot.jpg", "snapshot_overlay.jpg"
CLIP, OVERLAY = "clip", "overlay"  # stems

OURS = re.compile(
    r"event\.json|keep|snapshot(_overlay)?\.jpg|(clip|overlay)(-\d+)?\.(mp4|mkv)"
    r"|\.(event\.json|snapshot(_overlay)?\.jpg)\.partial"
)

EVIDENCE_KEY = "evidence"  # the key of event.json under which the files and the notes about them are
CLOSED = "close"
WHOLE = "whole"  # of the evidence: nothing more of it comes


def write_event(folder: Path, message: EventMessage, evidence: Mapping[str, Any]) -> None:
    """Replaces event.json in one step.

    Raises:
        OSError: it cannot be written.
    """
    write_json(folder / EVENT, {**to_json(message), EVIDENCE_KEY: dict(evidence)})


def read_event(folder: Path) -> tuple[EventMessage, dict[str, Any]] | None:
    """Returns the message and the evidence in event.json; None where it is not there or not ours."""
    try:
        values = json.loads((folder / EVENT).read_text(encoding="utf-8"))
        message = from_json(values)
        evidence = dict(values.get(EVIDENCE_KEY) or {})
    except (OSError, ValueError, TypeError):
        return None
    return (message, evidence) if message.event.id == folder.name else None


def event_folders(folder: Path) -> Iterator[Path]:
    """Yields the events' folders: those that hold an event.json, and nothing that is not ours; links are not followed.

    Raises:
        OSError: the folder cannot be read.
    """
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_dir():
            continue
        names = [entry.name for entry in path.iterdir() if entry.is_file() and not entry.is_symlink()]
        whole = len(names) == sum(1 for _ in path.iterdir())
        if whole and EVENT in names and all(OURS.fullmatch(name) for name in names):
            yield path


def free_stem(folder: Path, stem: str) -> str:
    """Returns the first of clip, clip-2, clip-3 ... that no file has, whatever its suffix."""
    taken = {path.stem for path in folder.iterdir()}
    number = 1
    while (name := stem if number == 1 else f"{stem}-{number}") in taken:
        number += 1
    return name


@dataclass(frozen=True, slots=True)
class ClipFile:
    """A file of a clip.

    Attributes:
        file: its name in the event's folder.
        start, end: of its first and last frame, in seconds from the source's start.
        copied: it holds the source's own packets; else scored frames, coded anew.
    """

    file: str
    start: float
    end: float
    copied: bool


class EventRecord:
    """The newest message of an event and the state of its files, written to event.json when there is something new.

    Attributes:
        folder: the event's.
        message: the newest one.
        losses: counts what is missing, by cause.
        written: event.json says all that is known.
    """

    def __init__(
        self,
        folder: Path,
        message: EventMessage,
        losses: Counter[str],
        retry_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        """Makes the folder and its event.json; `retry_seconds` is from a failure to the next attempt.

        Raises:
            OSError: they cannot be written.
        """
        self.folder, self.message, self.losses = folder, message, losses
        self._retry_seconds, self._clock, self._failed = retry_seconds, clock, -math.inf
        self._notes: list[str] = []
        self._saved: object = None
        folder.mkdir(parents=True, exist_ok=True)
        write_event(folder, message, {})
        self.written = True

    def update(self, message: EventMessage) -> bool:
        """Notes a message, and returns True if it is newer than the one before."""
        newer = message.event.version > self.message.event.version
        self.message = message if newer else self.message
        return newer

    def until(self, post_roll: float) -> float:
        """Returns how far the clips go: so many seconds beyond the end, for ever while there is none."""
        end = self.message.event.end
        return math.inf if end is None or self.message.kind != CLOSED else end + post_roll

    def note(self, note: str) -> None:
        """Adds a note for somebody who looks at the files; once."""
        if note not in self._notes:
            self._notes.append(note)

    def count_loss(self, what: str, error: Exception) -> None:
        """Counts a file that the disk did not take, or not whole."""
        reason = getattr(error, "strerror", None) or str(error)
        self.losses["disk"] += 1
        self.note(f"{what} is not whole: {reason}")
        logger.warning("%s: %s is not whole: %s", self.folder, what, reason)

    def save(self, clips: Sequence[ClipFile], overlays: Sequence[ClipFile], over: bool, force: bool = False) -> None:
        """Writes event.json if anything has changed; what cannot be written is tried again later, or now by `force`."""
        files = [part.file for part in (*clips, *overlays)]
        news = (self.message.kind, self.message.event.version, files, list(self._notes), over)
        if news == self._saved or (not force and self._clock() - self._failed < self._retry_seconds):
            return
        evidence = {
            "clips": [asdict(part) for part in clips],
            "overlays": [asdict(part) for part in overlays],
            "notes": self._notes,
            WHOLE: over,
        }
        try:
            write_event(self.folder, self.message, evidence)
        except OSError as error:
            if self.written:
                self.count_loss("event.json", error)
            self.written, self._failed = False, self._clock()
        else:
            self.written, self._saved = True, news


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
