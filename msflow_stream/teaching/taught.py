"""Labelled events that are kept for a scene: what they were, what a person said, and their clips."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from msflow_stream.events.evidence.event_files import EventFiles
from msflow_stream.events.evidence.event_folder import EVENT, SNAPSHOT, SNAPSHOT_OVERLAY
from msflow_stream.events.grouping import group_events
from msflow_stream.events.serialization import event_from_json, event_to_json
from msflow_stream.events.store.tables import StoredEvent
from msflow_stream.files import write_json
from msflow_stream.teaching.layout import taught_folder
from msflow_stream.types import Event

TaughtLabel = Literal["violation", "normal"]
TAUGHT: tuple[TaughtLabel, ...] = ("violation", "normal")  # the labels that teach; the first are kept first
KEY = "taught"  # of event.json, under which all is that is not the event's own
STAGED, GOING = ".staged-", ".removed-"  # begin the names of folders that do not count
NO_CLIP = "there is no clip of it, so a fit cannot learn from it; an exception for its place can be made"
PRIVATE = (
    "its clip is black in the camera's privacy areas, so a fit cannot learn from it; an exception for its place can be "
    "made"
)


class TaughtClip(NamedTuple):
    """A clip: its file, and when its first and last frames were shown, in seconds from the source's start."""

    path: Path
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaughtEvent:
    """A labelled event that is kept.

    Attributes:
        label: what a person said that it is.
        source: name of the camera, or of the file.
        folder: holds all of it.
        clips: in the order of time.
        stills: snapshots that are there, the one without a drawing first.
        labelled_by, labelled_at: who gave the label, and when.
        happened: when it began by the clock.
        obstacle: why a fit cannot learn from it, in words; None where it can.
    """

    id: str
    label: TaughtLabel
    source: str
    folder: Path
    event: Event
    clips: tuple[TaughtClip, ...]
    stills: tuple[Path, ...]
    labelled_by: str
    labelled_at: datetime
    happened: datetime
    obstacle: str | None

    @property
    def span(self) -> tuple[float, float]:
        """Start and end in seconds from the source's start."""
        return self.event.start, self.event.start if self.event.end is None else self.event.end


class Taught:
    """The labelled events of a scene, each in a folder named by its id.

    Several programs may read; what changes them holds `scene_lock`, as `sync` does.

    Args:
        scene: the scene's folder.
    """

    def __init__(self, scene: Path) -> None:
        self.folder = taught_folder(scene)

    @property
    def entries(self) -> tuple[TaughtEvent, ...]:
        """All of them, the oldest first; one that cannot be read is left out."""
        found = (self.read(path.name) for path in self._folders())
        return tuple(sorted((one for one in found if one is not None), key=lambda one: (one.happened, one.id)))

    def read(self, id: str) -> TaughtEvent | None:
        """Returns an event by its id; None where it is not kept."""
        folder = self.folder / id
        if not is_plain_name(id):
            return None
        try:
            values = json.loads((folder / EVENT).read_text(encoding="utf-8"))
            return _read(folder, event_from_json(values["event"]), values[KEY])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def add(self, stored: StoredEvent, files: EventFiles | None, obstacle: str | None = None) -> None:
        """Keeps an event, or what is new of it, in one step: its clips and snapshots are linked, else copied.

        Args:
            stored: with a label that teaches.
            files: where they are now; None: nowhere.
            obstacle: why a fit cannot learn from it, unless that is that it has no clip.

        Raises:
            OSError: the disk does not take it.
        """
        staged, final = self.folder / f"{STAGED}{stored.event.id}", self.folder / stored.event.id
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        clips = () if files is None else files.clips
        if files is not None:
            for name in (*(clip.file for clip in clips), *files.stills):
                _link(files.folder / name, staged / name)
        values = {
            "label": stored.label,
            "labelled_by": stored.labelled_by or "",
            "labelled_at": (stored.labelled_at or stored.happened).isoformat(),
            "happened": stored.happened.isoformat(),
            "clips": [{"file": clip.file, "start": clip.start, "end": clip.end} for clip in clips],
            "obstacle": obstacle or (None if clips else NO_CLIP),
        }
        write_json(staged / EVENT, {"kind": "close", "event": event_to_json(stored.event), KEY: values})
        self.remove(stored.event.id)
        staged.rename(final)

    def relabel(self, stored: StoredEvent) -> None:
        """Notes another label of an event that is kept.

        Raises:
            OSError: the disk does not take it.
        """
        path = self.folder / stored.event.id / EVENT
        values = json.loads(path.read_text(encoding="utf-8"))
        values[KEY] |= {
            "label": stored.label,
            "labelled_by": stored.labelled_by or "",
            "labelled_at": (stored.labelled_at or stored.happened).isoformat(),
        }
        write_json(path, values)

    def remove(self, id: str) -> None:
        """Removes an event; for good only if its label goes too, else the next `sync` takes it in again."""
        gone = self.folder / f"{GOING}{id}"
        shutil.rmtree(gone, ignore_errors=True)
        with suppress(FileNotFoundError):
            (self.folder / id).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def tidy(self) -> None:
        """Completes or removes what a killed program left half made or half removed."""
        if not self.folder.is_dir():
            return
        for path in list(self.folder.iterdir()):
            final = self.folder / path.name.removeprefix(STAGED)
            if path.name.startswith(STAGED) and (path / EVENT).exists() and not final.exists():
                path.rename(final)  # the one before is on its way out already
            elif path.name.startswith((STAGED, GOING)):
                shutil.rmtree(path, ignore_errors=True)

    def size(self, id: str) -> int:
        """Returns the bytes of an event that is kept; what other folders hold too counts here all the same."""
        return sum(path.stat().st_size for path in (self.folder / id).iterdir())

    def _folders(self) -> Iterator[Path]:
        with suppress(FileNotFoundError):
            yield from (path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def is_plain_name(id: str) -> bool:
    """Returns whether an id can be the name of a folder: one in a store could be anything."""
    return Path(id).name == id and not id.startswith(".") and "\0" not in id


def chosen(events: Iterable[StoredEvent], sizes: dict[str, int], most_bytes: int) -> list[StoredEvent]:
    """Returns the labelled events that are kept: as many as there is room for.

    Violations come before normals; among each, the newest of every group of similar events, then the second newest of
    every group, and so on. So what is kept is as different as it can be, and new.

    Args:
        events: with labels that teach.
        sizes: bytes of each by id.
        most_bytes: of all.
    """
    left, result = most_bytes, []
    by_label: dict[str | None, list[StoredEvent]] = defaultdict(list)
    for stored in events:
        by_label[stored.label].append(stored)
    for label in TAUGHT:
        for stored in _newest_and_most_different(by_label[label]):
            size = sizes[stored.event.id]
            if size <= left:
                left -= size
                result.append(stored)
    return result


def _newest_and_most_different(events: Sequence[StoredEvent]) -> list[StoredEvent]:
    ranked = [
        (rank, -stored.happened.timestamp(), stored.event.id, stored)
        for group in group_events(events)
        for rank, stored in enumerate(reversed(group.events))
    ]
    return [stored for *_, stored in sorted(ranked, key=lambda one: one[:3])]


def _read(folder: Path, event: Event, values: dict[str, Any]) -> TaughtEvent:
    if values["label"] not in TAUGHT or event.id != folder.name:
        raise ValueError("this is no event that was taught")
    names = [(str(one["file"]), float(one["start"]), float(one["end"])) for one in values["clips"]]
    clips = [TaughtClip(folder / name, start, end) for name, start, end in names if _is_plain(folder, name)]
    return TaughtEvent(
        id=event.id,
        label=cast(TaughtLabel, values["label"]),
        source=event.source,
        folder=folder,
        event=event,
        clips=tuple(sorted(clips, key=lambda clip: clip.start)),
        stills=tuple(folder / name for name in (SNAPSHOT, SNAPSHOT_OVERLAY) if _is_plain(folder, name)),
        labelled_by=str(values["labelled_by"]),
        labelled_at=datetime.fromisoformat(values["labelled_at"]).astimezone(UTC),
        happened=datetime.fromisoformat(values["happened"]).astimezone(UTC),
        obstacle=values["obstacle"] or (None if clips else NO_CLIP),
    )


def _is_plain(folder: Path, name: str) -> bool:
    return Path(name).name == name and (folder / name).is_file() and not (folder / name).is_symlink()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:  # retention was faster
        return
    except OSError:  # another disk, or one that knows no links
        shutil.copy2(source, target)
