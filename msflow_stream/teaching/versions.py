"""The versions of a scene: which is live, which was, the candidate that could be, and how each came about."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msflow_stream.files import write_json
from msflow_stream.scenes import exchange
from msflow_stream.scenes.exchange import Move, scene_identity, scene_lock
from msflow_stream.teaching.exceptions import Exceptions
from msflow_stream.teaching.layout import candidate_folder, history_file, shadow_file, teach_folder, versions_folder
from msflow_stream.teaching.version_history import Change, Done, History, Version, describe, first_history
from msflow_stream.types import UserError

KEPT = 10  # earlier versions whose folders are kept
GOING = ".removed-"  # begins the names of folders that are on their way out

Changed = tuple[History, list[Move]]


class Versions:
    """The versions of one scene, for any number of programs at once.

    A change is complete or not there, whatever happens meanwhile: what a killed program left is completed by the next
    one that looks. A scene that somebody fitted or calibrated by hand since is found to be a version of its own.

    Args:
        scene: the scene's folder.
    """

    def __init__(self, scene: Path) -> None:
        self.scene = scene

    @property
    def entries(self) -> tuple[Version, ...]:
        """All versions, the oldest first; a scene without a history has one, which is what is live."""
        return self._read().versions

    @property
    def changes(self) -> tuple[Change, ...]:
        """What was done, by whom and when, the oldest first."""
        return self._read().changes

    @property
    def live(self) -> Version | None:
        """The version that is the scene now; None where there is no scene (yet)."""
        return self._read().only("live")

    @property
    def candidate(self) -> Version | None:
        """The version that could be the next."""
        return self._read().only("candidate")

    def folder(self, number: int) -> Path | None:
        """Returns the folder of a version; None where it is not kept, or not any more."""
        version = self._read().get(number)
        return None if version is None else self._folder(version)

    def propose(
        self, staged: Path, *, by: str, taught: Sequence[str] = (), comparison: Mapping[str, Any] | None = None
    ) -> Version:
        """Makes a scene the candidate, in place of the one that there may be; one with refusals is only noted.

        Args:
            staged: its folder, which is moved, or removed where it is refused.
            by: who asked for it.
            taught: ids of the events that it knows.
            comparison: what was found when it was compared with the live one; refused if it has "refusals".

        Raises:
            UserError: there is no scene in `staged`, or it is the live one.
        """
        compared = None if comparison is None else dict(comparison)
        refused = bool(compared and compared.get("refusals"))

        def change(history: History, now: datetime) -> Changed:
            source, found = self._on_this_disk(staged), describe(staged)
            if found is None:
                raise UserError(f"there is no scene in {staged}")
            history, moves = (history, []) if refused else self._without_candidate(history, "replaced", by, now)
            live = history.only("live")
            if live is not None and live.identity == found.identity:
                raise UserError(f"the scene in {staged} is the live one itself")
            made = Version(
                number=history.next_number,
                identity=found.identity,
                fit=found.fit,
                made=now,
                by=by,
                reason=f"fitted with {len(taught)} taught event{'s' * (len(taught) != 1)}",
                taught=tuple(taught),
                comparison=compared,
                state="refused" if refused else "candidate",
                base=None if live is None else live.number,
            )
            target = self._going(made.number) if refused else candidate_folder(self.scene)
            return history.with_new(made, by, now), [*moves, self._move(source, target, made)]

        return self._change(change).versions[-1]

    def promote(self, by: str) -> Version:
        """Makes the candidate live; the one that was live becomes an earlier version.

        Raises:
            UserError: there is no candidate.
        """
        return self._make_live(self._candidate_to_promote, "promoted", by)

    def rollback(self, by: str, number: int | None = None) -> Version:
        """Makes an earlier version live again, byte for byte.

        Args:
            by: who decided so.
            number: which; None: the one that was live before this one, or the nearest before that which is kept.

        Raises:
            UserError: there is none, or it is not kept.
        """
        return self._make_live(lambda history: self._earlier(history, number), "rolled back", by)

    def discard(self, by: str) -> Version:
        """Drops the candidate, and returns it.

        Raises:
            UserError: there is no candidate.
        """

        def change(history: History, now: datetime) -> Changed:
            if history.only("candidate") is None:
                raise UserError(f"{self.scene.name} has no candidate")
            return self._without_candidate(history, "discarded", by, now)

        history = self._change(change)
        number = history.changes[-1].number
        return next(one for one in history.versions if one.number == number)

    # What is read.

    def _read(self) -> History:
        """Returns the history, with what was left undone done, and what changed by hand noted."""
        pending = exchange.is_pending(self.scene)
        stored = self._stored()
        if not pending and (stored is None or self._known(stored) == stored):
            return self._known(stored)
        try:
            with scene_lock(self.scene):
                return self._settled()
        except OSError:  # who may only read, or a disk that is full: it is seen all the same
            return self._known(self._stored())

    def _stored(self) -> History | None:
        path = history_file(self.scene)
        try:
            return History.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            raise UserError(f"{path} is damaged: remove it, and the history begins with the scene as it is") from None

    def _known(self, stored: History | None) -> History:
        """Returns the history in which the scene that is there is live."""
        if stored is not None:
            live = stored.only("live")
            if live is not None and live.identity == scene_identity(self.scene):
                return stored
        found = describe(self.scene)
        if found is None:
            return stored or History()
        return first_history(found) if stored is None else stored.with_found(found)

    # What is changed.

    def _change(self, change: Callable[[History, datetime], Changed]) -> History:
        """Makes a change of the history, and the moves that go with it; returns the new history."""
        with scene_lock(self.scene):
            before = self._settled()
            history, moves = change(before, datetime.now(UTC).replace(microsecond=0))
            self._clear_the_way(moves)
            live = history.only("live")
            learnt = live.taught if live is not None and live != before.only("live") else ()
            exchange.begin(self.scene, moves, {"history": history.to_json(), "learnt": learnt})
            if self._finish() is None:
                raise UserError(f"{self.scene.name} was changed by somebody else at the same moment: try again")
            return history

    def _settled(self) -> History:
        """Completes what was left undone, and notes what changed by hand; under the lock."""
        self._finish()
        stored = self._stored()
        history = self._known(stored)
        if stored is not None and history != stored:
            write_json(history_file(self.scene), history.to_json())
        return history

    def _finish(self) -> History | None:
        """Completes the change that the journal tells of, and returns its history; None where there is none.

        Every step may be done again.
        """
        journal = exchange.carry_out(self.scene)
        if journal is None:
            return None
        history = History.from_json(journal["then"]["history"])
        write_json(history_file(self.scene), journal["then"]["history"])
        Exceptions(self.scene).forget(frozenset(journal["then"]["learnt"]))
        candidate = self._relative(candidate_folder(self.scene))
        if any(candidate in move for move in journal["moves"]):
            shadow_file(self.scene).unlink(missing_ok=True)
        self._tidy(history)
        exchange.end(self.scene)
        return history

    def _make_live(self, choose: Callable[[History], Version], what: Done, by: str) -> Version:
        def change(history: History, now: datetime) -> Changed:
            chosen, live = choose(history), history.only("live")
            source = self._folder(chosen)
            if source is None:
                raise UserError(f"version {chosen.number} of {self.scene.name} is not kept any more")
            moves = [self._move(source, self.scene, chosen)]
            if live is not None and scene_identity(self.scene) == live.identity:
                aside = versions_folder(self.scene) / f"{live.number:04}"
                moves.insert(0, self._move(self.scene, aside, live))
            return history.with_live(chosen.number, what, by, now), moves

        live = self._change(change).only("live")
        assert live is not None
        return live

    def _candidate_to_promote(self, history: History) -> Version:
        candidate = history.only("candidate")
        if candidate is None:
            raise UserError(
                f"{self.scene.name} has no candidate: `msflow-stream scenes teach {self.scene.name}` makes one"
            )
        return candidate

    def _earlier(self, history: History, number: int | None) -> Version:
        """Returns the version to roll back to.

        Raises:
            UserError: there is none.
        """
        kept = [one.number for one in history.versions if one.state == "earlier" and self._folder(one) is not None]
        there = f"kept: {', '.join(map(str, kept))}" if kept else "no earlier version is kept"
        chosen = history.only("live") if number is None else history.get(number)
        seen: set[int] = set()
        while number is None and chosen is not None and chosen.number not in seen and chosen.number not in kept:
            seen.add(chosen.number)
            chosen = None if chosen.before is None else history.get(chosen.before)
        if chosen is None or chosen.number not in kept:
            what = "earlier version" if number is None else f"earlier version {number}"
            raise UserError(f"{self.scene.name} has no {what} to go back to ({there})")
        return chosen

    def _without_candidate(self, history: History, what: Done, by: str, now: datetime) -> Changed:
        candidate = history.only("candidate")
        if candidate is None:
            return history, []
        folder = self._folder(candidate)
        moves = [] if folder is None else [self._move(folder, self._going(candidate.number), candidate)]
        return history.with_dropped(candidate.number, what, by, now), moves

    # Folders.

    def _folder(self, version: Version) -> Path | None:
        """Returns the folder of a version, if it is there."""
        places = {
            "live": self.scene,
            "candidate": candidate_folder(self.scene),
            "earlier": versions_folder(self.scene) / f"{version.number:04}",
        }
        folder = places.get(version.state)
        return folder if folder is not None and scene_identity(folder) == version.identity else None

    def _going(self, number: int) -> Path:
        return versions_folder(self.scene) / f"{GOING}{number:04}"

    def _move(self, source: Path, target: Path, version: Version) -> Move:
        return Move(self._relative(source), self._relative(target), version.identity)

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path, self.scene.parent)

    def _on_this_disk(self, staged: Path) -> Path:
        """Returns a folder of the same content on the disk of the scenes: only there a rename can move it."""
        if not staged.is_dir() or staged.stat().st_dev == self.scene.parent.stat().st_dev:
            return staged
        copy = teach_folder(self.scene) / ".staged"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(staged, copy)
        shutil.rmtree(staged)
        return copy

    def _clear_the_way(self, moves: Sequence[Move]) -> None:
        """Removes what an unknown hand left in the places that moves lead to; never the live scene."""
        sources = {move.source for move in moves}
        for move in moves:
            path = self.scene.parent / move.target
            if move.target in sources or not path.exists():
                continue
            if path == self.scene:
                raise UserError(f"{self.scene} is no scene that can be read: move it away, and try again")
            self._remove(path)

    def _tidy(self, history: History) -> None:
        """Removes what is on its way out, and the oldest of the earlier versions beyond those that are kept."""
        folder = versions_folder(self.scene)
        if not folder.is_dir():
            return
        earlier = [one for one in history.versions if one.state == "earlier" and self._folder(one) is not None]
        newest = sorted(earlier, key=lambda one: (one.promoted or one.made, one.number), reverse=True)
        names = {f"{one.number:04}" for one in newest[:KEPT]}
        for path in folder.iterdir():
            if path.is_dir() and path.name not in names:
                self._remove(path)

    def _remove(self, path: Path) -> None:
        """Removes a folder in such a way that it is never there in part under a name that counts."""
        if not path.name.startswith(GOING):
            gone = versions_folder(self.scene) / f"{GOING}{path.name}"
            shutil.rmtree(gone, ignore_errors=True)
            gone.parent.mkdir(parents=True, exist_ok=True)
            path = path.rename(gone)
        shutil.rmtree(path, ignore_errors=True)
