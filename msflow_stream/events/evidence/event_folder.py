"""The folder of one event: what its files are called, and its event.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msflow_stream.events.serialization import from_json, to_json
from msflow_stream.files import write_json
from msflow_stream.types import EventMessage

EVENT, KEEP, SNAPSHOT, SNAPSHOT_OVERLAY = "event.json", "keep", "snapshot.jpg", "snapshot_overlay.jpg"


CLIP, OVERLAY = "clip", "overlay"


EVIDENCE_KEY = "evidence"  # the key of event.json under which the files and what is to be said of them are


OURS = re.compile(
    r"event\.json|keep|snapshot(_overlay)?\.jpg|(clip|overlay)(-\d+)?\.(mp4|mkv)"
    r"|\.(event\.json|snapshot(_overlay)?\.jpg)\.partial"
)


CLOSED = "close"


def write_event(folder: Path, message: EventMessage, evidence: Mapping[str, Any]) -> None:
    """Replaces event.json in one step.

    Raises:
        OSError: it cannot be written.
    """
    write_json(folder / EVENT, {**to_json(message), EVIDENCE_KEY: dict(evidence)})


def read_event(folder: Path) -> tuple[EventMessage, dict[str, Any]] | None:
    """What event.json says, and its evidence; None where it is not there or not ours."""
    try:
        values = json.loads((folder / EVENT).read_text(encoding="utf-8"))
        message = from_json(values)
        evidence = dict(values.get(EVIDENCE_KEY) or {})
    except (OSError, ValueError, TypeError):
        return None
    return (message, evidence) if message.event.id == folder.name else None


def event_folders(folder: Path) -> Iterator[Path]:
    """The events' folders: those that hold an event.json, and nothing that is not ours; links are not followed.

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
    """The first of clip, clip-2, clip-3 ... that no file has, whatever its suffix."""
    taken = {path.stem for path in folder.iterdir()}
    number = 1
    while (name := stem if number == 1 else f"{stem}-{number}") in taken:
        number += 1
    return name


EVIDENCE_FOLDER = "events"  # the folder, below the source's
