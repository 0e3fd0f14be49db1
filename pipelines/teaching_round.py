"""The round of a watch over what people taught: labels are taken in, candidates asked for, versions taken up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from msflow_stream.config.cameras import Camera
from msflow_stream.config.teaching import Teaching
from msflow_stream.events.store import EventStore, StoreUnavailable
from msflow_stream.logs import Outage
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.teaching.layout import history_file, wanted_file
from msflow_stream.teaching.sync import is_wanted, sync
from msflow_stream.types import UserError
from msflow_stream.watch.watcher import Watcher

from .teach import is_being_made
from .work_job import WorkJob

log = logging.getLogger(__name__)

EVERY = 15.0  # seconds


class TeachingRound:
    """What is looked after every now and then, by one thread. To be closed, by that thread."""

    def __init__(
        self,
        store: str,
        out: Path,
        scenes: Path,
        device: str,
        watcher: Watcher,
        everyone: Callable[[], Mapping[str, Camera]] | None = None,
        every: float = EVERY,
    ) -> None:
        """Prepares; the store is opened when it is needed.

        Args:
            store: the address of the database of events.
            out: the folder of the watch.
            scenes: the folder of the scenes.
            device: where candidates are fitted.
            watcher: knows the cameras, and what becomes of labels.
            everyone: returns the cameras of all nodes, where there are several: whoever watches the first camera of a
                scene makes its candidates; None: those of the watcher.
            every: seconds between two rounds.
        """
        self._address, self._out, self._scenes, self._device = store, out, scenes, device
        self._watcher, self._every, self._everyone = watcher, every, everyone
        self._store: EventStore | None = None
        self._looked = -every
        self._wanted: tuple[WorkJob, ...] = ()
        self._histories: dict[Path, int] = {}
        self._asked: dict[Path, int] = {}
        self._trouble, self._troubles = Outage(log), dict[Path, Outage]()

    def close(self) -> None:
        """Lets go of the store."""
        if self._store is not None:
            self._store.close()

    def __call__(self) -> bool:
        """Makes a round, where it is time for one or somebody asks for a candidate.

        Returns:
            Whether a scene has become another one since the last round.
        """
        cameras, settings = self._watcher.cameras, self._watcher.teaching
        folders = {name: scene_folder(self._scenes, name) for name in _scenes_of(cameras)}
        asked, self._asked = self._asked, {folder: changed(wanted_file(folder)) for folder in folders.values()}
        is_asked = any(at and asked.get(folder) != at for folder, at in self._asked.items())
        if not is_asked and monotonic() - self._looked < self._every:
            return False
        self._looked = monotonic()
        everyone = cameras if self._everyone is None else self._everyone()
        self._take_in(everyone, settings)
        now = datetime.now(UTC)
        self._wanted = tuple(
            WorkJob(kind="candidate", scene=folder, device=self._device)
            for name, folder in folders.items()
            if _first_of(everyone, name) in cameras and self._is_wanted(folder, settings, now)
        )
        before = self._histories
        self._histories = {folder: changed(history_file(folder)) for folder in folders.values()}
        return any(before.get(folder, at) != at for folder, at in self._histories.items())

    def wanted(self) -> tuple[WorkJob, ...]:
        """Returns the candidates that were wanted in the last round."""
        return self._wanted

    def done(self, job: WorkJob) -> None:
        """Forgets that a candidate was wanted that is made; the next round says whether another one is."""
        self._wanted = tuple(one for one in self._wanted if one != job)

    def _is_wanted(self, scene: Path, settings: Teaching, now: datetime) -> bool:
        trouble = self._troubles.setdefault(scene, Outage(log))
        try:
            wanted = is_wanted(scene, settings, now) and not is_being_made(scene)
        except (UserError, OSError) as error:  # of this scene alone
            trouble.begin(f"{scene.name}: no candidate is made for now: {error}")
            return False
        trouble.end(f"{scene.name}: candidates are made again")
        return wanted

    def _take_in(self, cameras: Mapping[str, Camera], settings: Teaching) -> None:
        try:
            if self._store is None:
                self._store = EventStore(self._address)
            sync(self._store, self._out, self._scenes, cameras, settings)
        except (StoreUnavailable, UserError, OSError) as error:
            self._trouble.begin(f"what people labelled is not taken in for now: {error}")
        else:
            self._trouble.end("what people labelled is taken in again")


def _scenes_of(cameras: Mapping[str, Camera]) -> Iterator[str]:
    for camera in cameras.values():
        yield from camera.scenes


def _first_of(cameras: Mapping[str, Camera], scene: str) -> str | None:
    """Returns the first camera that has to do with a scene."""
    return next((name for name, camera in cameras.items() if scene in camera.scenes), None)


def changed(path: Path) -> int:
    """Returns when a file changed last; 0 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
