"""What the folder of an event holds, looked up by the event, and the mark that it is to be kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msflow_stream.events.evidence.event_folder import (
    EVENT,
    EVIDENCE_FOLDER,
    KEEP,
    SNAPSHOT,
    SNAPSHOT_OVERLAY,
    ClipFile,
    read_event,
)
from msflow_stream.types import Event

STILLS = (SNAPSHOT, SNAPSHOT_OVERLAY)


@dataclass(frozen=True, slots=True)
class EventFiles:
    """The files of an event that are there.

    Attributes:
        folder: the event's.
        clips, overlays: in the order of time.
        stills: names of the snapshots.
        notes: what somebody who looks at the files should know.
    """

    folder: Path
    clips: tuple[ClipFile, ...] = ()
    overlays: tuple[ClipFile, ...] = ()
    stills: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    has_record: bool = field(default=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all files that may be shown."""
        record = (EVENT,) if self.has_record else ()
        return (*(part.file for part in (*self.clips, *self.overlays)), *self.stills, *record)


def evidence_folder(out: Path, event: Event) -> Path:
    """Returns the folder of an event's files, in the one that `watch` or `score` writes."""
    return out / event.source / EVIDENCE_FOLDER / event.id


def event_files(out: Path, event: Event) -> EventFiles | None:
    """Returns the files of an event; None where they are gone, or where its names lead to another place.

    No name in the store is trusted: the folder has to be the event's own, below `out` and behind no link, and each
    file a plain one in it.
    """
    folder = _own_folder(out, event)
    if folder is None:
        return None
    found = read_event(folder)
    evidence = {} if found is None else found[1]
    return EventFiles(
        folder,
        tuple(_parts(folder, evidence.get("clips"))),
        tuple(_parts(folder, evidence.get("overlays"))),
        tuple(name for name in STILLS if _is_file(folder, name)),
        tuple(str(note) for note in evidence.get("notes") or ()),
        found is not None,
    )


def event_stills(out: Path, event: Event) -> tuple[str, ...]:
    """Returns the names of the snapshots that are there, as `event_files` does, without a look into event.json."""
    folder = _own_folder(out, event)
    return () if folder is None else tuple(name for name in STILLS if _is_file(folder, name))


def mark_kept(out: Path, event: Event, kept: bool) -> bool:
    """Marks evidence that is not to be removed by a file beside it, which counts while the store is away.

    Returns:
        False where there is no evidence of the event.

    Raises:
        OSError: the mark cannot be written or removed.
    """
    folder = evidence_folder(out, event)
    if not kept:
        (folder / KEEP).unlink(missing_ok=True)
    elif folder.is_dir():
        (folder / KEEP).touch()
    return folder.is_dir()


def _own_folder(out: Path, event: Event) -> Path | None:
    root = out.resolve()
    folder = evidence_folder(root, event)
    if folder.resolve() != folder or not folder.is_relative_to(root) or not folder.is_dir():
        return None
    return folder if folder.name == event.id and folder.parent.name == EVIDENCE_FOLDER else None


def _parts(folder: Path, parts: Any) -> list[ClipFile]:
    """Returns the clips of event.json that are there, in the order of time."""
    found = []
    for part in parts if isinstance(parts, list) else []:
        try:
            one = ClipFile(str(part["file"]), float(part["start"]), float(part["end"]), bool(part["copied"]))
        except (KeyError, TypeError, ValueError):
            continue
        if _is_file(folder, one.file):
            found.append(one)
    return sorted(found, key=lambda one: one.start)


def _is_file(folder: Path, name: str) -> bool:
    if name != Path(name).name or name in ("", ".", ".."):
        return False
    path = folder / name
    return path.is_file() and not path.is_symlink()
