"""What is normal here: the exceptions that a decision makes of its events, and those that end with a later one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from msflow_stream.events.evidence.clip_facts import clip_facts
from msflow_stream.events.evidence.event_files import event_files
from msflow_stream.events.store import StoredEvent
from msflow_stream.scenes.exchange import scene_exists
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.teaching.exception_place import LEAD, SeenFrame
from msflow_stream.teaching.exceptions import Exceptions, SoftException
from msflow_stream.types import Scores, UserError
from msflow_stream.watch.outputs.activity_file import ACTIVITY
from msflow_stream.watch.replay.activity import ActiveFrame, Activity
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.event_queries import iso

CLOCK = timedelta(minutes=1)  # by so much may the arrival of an event's frames and its own time differ
MOST_AT_ONCE = 10  # exceptions of a decision: events of a group are alike


@dataclass(frozen=True, slots=True)
class Wanted:
    """An event that an exception can be made of.

    Attributes:
        scene: the folder of its scene.
        size: width and height of its frames.
        seen: its frames as they were recorded.
    """

    stored: StoredEvent
    scene: Path
    size: tuple[int, int]
    seen: Sequence[SeenFrame]

    def add(self, by: str, decision: int) -> SoftException:
        """Adds the exception."""
        values: dict[str, Any] = {"size": self.size, "seen": self.seen, "by": by, "decision": decision}
        return Exceptions(self.scene).add_from(self.stored.event, **values)


def wanted_of(console: Console, events: Sequence[StoredEvent]) -> list[Wanted]:
    """Returns the events that exceptions can be made of, at most `MOST_AT_ONCE`.

    Raises:
        UserError: there can be one of none of them; it says why.
    """
    found, refused = list[Wanted](), None
    for stored in events:
        if len(found) == MOST_AT_ONCE:
            break
        try:
            found.append(_wanted(console, stored))
        except UserError as error:
            refused = refused or error
    if not found and refused is not None:
        raise refused
    return found


def forget_other_labels(console: Console, events: Sequence[StoredEvent]) -> None:
    """Removes the exceptions of events that are not normal, or no longer."""
    for scene, group in _by_scene(console, [one for one in events if one.label != "normal"]):
        Exceptions(scene).forget({stored.event.id for stored in group})


def forget_decision(console: Console, number: int, events: Sequence[StoredEvent]) -> None:
    """Removes the exceptions of a decision that was taken back for these events."""
    for scene, group in _by_scene(console, events):
        Exceptions(scene).forget_decision(number, {stored.event.id for stored in group})


def exception_of_event(console: Console, stored: StoredEvent) -> SoftException | None:
    """Returns the exception that was made of an event and counts now."""
    for scene, _ in _by_scene(console, [stored]):
        return next((one for one in Exceptions(scene).entries if one.event == stored.event.id), None)
    return None


def exceptions_of_camera(console: Console, name: str, scenes: Sequence[str]) -> list[tuple[Path, SoftException]]:
    """Returns the exceptions that count at a camera now, each with the folder of its scene."""
    folders = [folder for scene in scenes if (folder := _folder(console, scene)) is not None]
    return [(folder, one) for folder in folders for one in Exceptions(folder).entries if one.camera == name]


def told(console: Console, scene: Path, one: SoftException) -> dict[str, Any]:
    """Returns what pages show of an exception."""
    stored = console.store.exact(one.event)
    files = None if stored is None else event_files(console.out, stored.event)
    return {
        "id": one.id,
        "event": one.event if stored is not None else None,
        "camera": one.camera,
        "scene": scene.name,
        "kind": one.kind,
        "boxes": [[round(1000 * part, 1) for part in box] for box in one.boxes],
        "share": one.share,
        "seconds": one.seconds,
        "by": one.by,
        "at": iso(one.at),
        "expires": iso(one.expires),
        "still": "snapshot.jpg" if files is not None and "snapshot.jpg" in files.stills else None,
    }


def _wanted(console: Console, stored: StoredEvent) -> Wanted:
    scene = _folder(console, stored.event.scene)
    if scene is None:
        raise UserError(f"there is no scene {stored.event.scene!r} any more, so nothing can be an exception of it")
    frames = list(_frames_of(console, stored))
    size = frames[0].size if frames else _clip_size(console, stored)
    if size is None:
        raise UserError("neither scores nor a recording of this event are left to tell its place by")
    seen = [SeenFrame(one.time, one.boxes, Scores(*one.scores.tolist()), one.why) for one in frames]
    wanted = Wanted(stored, scene, size, seen)
    Exceptions(scene).check(stored.event, size=size, seen=seen)
    return wanted


def _frames_of(console: Console, stored: StoredEvent) -> Iterator[ActiveFrame]:
    """Yields the recorded frames of an event, and those shortly before and behind it."""
    event = stored.event
    known = next((name for name in console.all_cameras() if name == event.source), None)
    if known is None:
        return
    seconds = (event.end or event.start) - event.start
    first, last = stored.happened - CLOCK, stored.happened + timedelta(seconds=seconds) + CLOCK
    for frame in Activity.read(console.out / known / ACTIVITY, first, last).frames:
        if event.start - LEAD <= frame.time <= event.start + seconds + LEAD and frame.run.scene == event.scene:
            yield frame


def _clip_size(console: Console, stored: StoredEvent) -> tuple[int, int] | None:
    files = event_files(console.out, stored.event)
    for part in () if files is None else (*files.clips, *files.overlays):
        facts = None if files is None else clip_facts(files.folder / part.file)
        if facts is not None:
            return facts.width, facts.height
    return None


def _folder(console: Console, name: str) -> Path | None:
    try:
        folder = scene_folder(console.scenes, name)
    except UserError:
        return None
    return folder if scene_exists(folder) else None


def _by_scene(console: Console, events: Sequence[StoredEvent]) -> Iterator[tuple[Path, list[StoredEvent]]]:
    for name, group in groupby(sorted(events, key=lambda one: one.event.scene), key=lambda one: one.event.scene):
        folder = _folder(console, name)
        if folder is not None:
            yield folder, list(group)
