"""Folders of scenes change places by renames that a journal makes whole: whoever comes after a kill completes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from msflow_stream.files import make_folder, write_json
from msflow_stream.locks import take_lock

RECORD = "scene.json"  # of a scene: what it is, with the hash of its weights
JOURNAL, LOCK = "journal.json", ".versions.lock"


class Move(NamedTuple):
    """A folder that takes another path: the paths, relative to the folder that holds the scenes, and its identity."""

    source: str
    target: str
    identity: str


def hidden_folder(scene: Path) -> Path:
    """Returns the folder beside a scene's that holds its versions and what else came after its fit."""
    return scene.parent / f".{scene.name}.teach"


def scene_identity(folder: Path) -> str | None:
    """Returns what tells a scene's folder from any other: a hash of its record, which holds that of its weights.

    None where there is no scene.
    """
    try:
        return hashlib.sha256((folder / RECORD).read_bytes()).hexdigest()[:16]
    except OSError:
        return None


def scene_exists(scene: Path) -> bool:
    """Returns whether there is a scene in a folder, having completed what a killed program left undone there."""
    return (scene / RECORD).exists() or (complete_exchange(scene) and (scene / RECORD).exists())


@contextmanager
def scene_lock(scene: Path) -> Iterator[None]:
    """Waits until nobody else, in any program, changes which scene is live, and has this for itself meanwhile.

    The folder beside the scene's is made if it is not there.

    Raises:
        OSError: the lock cannot be had.
    """
    folder = hidden_folder(scene)
    make_folder(folder)
    with (folder / LOCK).open("ab") as lock:
        take_lock(lock)
        yield


@contextmanager
def scene_changing(scene: Path) -> Iterator[None]:
    """Has a scene's folder for itself, as `scene_lock`, where anybody else could change which scene is live."""
    if not hidden_folder(scene).is_dir():
        yield
        return
    with scene_lock(scene):
        carry_out(scene)
        yield


def is_pending(scene: Path) -> bool:
    """Returns whether a change is under way, or was left undone by a program that was killed."""
    return (hidden_folder(scene) / JOURNAL).exists()


def begin(scene: Path, moves: Sequence[Move], then: Any) -> None:
    """Writes a journal of moves, and of what the caller does when they are done; under the lock."""
    write_json(hidden_folder(scene) / JOURNAL, {"moves": moves, "then": then})


def carry_out(scene: Path) -> dict[str, Any] | None:
    """Does the moves of the journal that are not done yet, and returns the journal; under the lock.

    None where there is none, or where another scene has come into the way meanwhile, such as that of a new fit: then
    what is done stays done, the rest is given up, and the journal is gone.
    """
    path = hidden_folder(scene) / JOURNAL
    try:
        journal: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if all(_move(scene.parent, Move(*one)) for one in journal["moves"]):
        return journal
    path.unlink(missing_ok=True)
    return None


def end(scene: Path) -> None:
    """Removes the journal: all is done; under the lock."""
    (hidden_folder(scene) / JOURNAL).unlink(missing_ok=True)


def complete_exchanges(scenes: Path) -> None:
    """Does the moves that a killed program left undone, of all scenes in a folder; what comes after them waits."""
    for path in scenes.glob(f".*.teach/{JOURNAL}"):
        complete_exchange(scenes / path.parent.name.removeprefix(".").removesuffix(".teach"))


def complete_exchange(scene: Path) -> bool:
    """Does the moves that a killed program left undone; returns whether there were any, or might have been."""
    if not is_pending(scene):
        return False
    try:
        with scene_lock(scene):
            carry_out(scene)
    except OSError:  # of a folder that one may only read
        return False
    return True


def _move(root: Path, move: Move) -> bool:
    """Does a move, if it is not done; False where something else is in the way."""
    source, target = root / move.source, root / move.target
    if scene_identity(source) != move.identity:
        return target.exists()
    if target.exists():
        return False
    make_folder(target.parent)
    source.rename(target)
    return True
