"""The watch of one node: each of its cameras is watched while its lease is held, and not a moment longer."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from threading import Event, Lock, Thread
from time import monotonic

from msflow_stream.config.cameras import Camera, Cameras
from msflow_stream.events.store import StoreUnavailable
from msflow_stream.events.store.lease_keeper import LeaseKeeper
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import UserError
from msflow_stream.watch.areas import area_mask
from msflow_stream.watch.camera import is_learning
from msflow_stream.watch.event_router import STORE

from ..machine_watch import STOP_SECONDS, MachineWatch

log = logging.getLogger(__name__)

LOOK = 0.2  # seconds between two looks at what is to be done
RETRY = 5.0  # seconds until a camera that could not be prepared is tried again
TAKE_OVER = 2.0  # seconds between two looks for what dead nodes had to deliver
DRAIN_SECONDS = 2.0  # that a camera which has ended is kept for its last events to reach the store


class LeasedWatch:
    """The cameras of one node, each watched while its lease is held. To be started and closed.

    Args:
        machine: what watches, without cameras at first.
        keeper: has the leases, and tells `lose` of those that are lost.
        measure: measures how many frames per second a scene's networks score here.
        take_over: takes over what dead nodes had to deliver.

    Attributes:
        fps: what was measured; None before the first scene is loaded.
    """

    def __init__(
        self,
        machine: MachineWatch,
        keeper: LeaseKeeper,
        measure: Callable[[Scene], float],
        take_over: Callable[[], object] = lambda: None,
    ) -> None:
        self._machine, self._keeper, self._measure = machine, keeper, measure
        self._watcher = machine.watcher
        self._lock, self._closing, self._closed = Lock(), Event(), Event()
        self._assigned: dict[str, Camera] = {}
        self._prepared: dict[str, Camera] = {}
        self._troubles: dict[str, tuple[str, float]] = {}  # why, and when it is tried again
        self._taken: set[str] = set()  # cameras whose lease is not given back yet, though it may be lost
        self._ended: dict[str, float] = {}  # those of them that have ended, and since when
        self.fps: float | None = None
        self._away = False
        works = (("cameras", self._settle), ("scenes", self._prepare), ("taking", self._take))
        self._threads = [
            Thread(target=self._forever, args=(work, LOOK), name=name, daemon=True) for name, work in works
        ]
        self._threads.append(Thread(target=self._forever, args=(take_over, TAKE_OVER), name="taking over", daemon=True))
        self._runner = Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begins."""
        for thread in (self._runner, *self._threads):
            thread.start()

    def assign(self, cameras: Mapping[str, Camera]) -> None:
        """Has these cameras watched from now on, as far as leases can be had; returns at once."""
        with self._lock:
            self._assigned = dict(cameras)
            self._prepared = {name: one for name, one in self._prepared.items() if name in cameras}
            self._troubles = {}

    def follow(self, file: Cameras) -> None:
        """Follows a cameras file that was read again.

        Raises:
            UserError: it cannot be used.
        """
        self._machine.follow(file, self.watched())

    def lose(self, cameras: Collection[str]) -> None:
        """Ends cameras at once whose leases are lost."""
        self._watcher.drop(cameras)

    def watched(self) -> dict[str, Camera]:
        """Returns the cameras that are watched now, or are about to be; as they were until the others are prepared."""
        held = self._keeper.cameras
        with self._lock:
            return {name: camera for name, camera in self._prepared.items() if name in held}

    def held(self) -> dict[str, int]:
        """Returns the numbers of the leases that are held."""
        marks = {name: self._keeper.mark(name) for name in self._keeper.cameras}
        return {name: mark.fence for name, mark in marks.items() if mark is not None}

    def ready(self) -> frozenset[str]:
        """Returns the cameras that could begin at once."""
        with self._lock:
            return frozenset(name for name, one in self._prepared.items() if self._assigned.get(name) == one)

    def troubles(self) -> dict[str, str]:
        """Returns why cameras cannot be watched here."""
        with self._lock:
            return {name: why for name, (why, _) in self._troubles.items()}

    @property
    def away(self) -> bool:
        """Whether the store did not answer the last time that a lease was to be renewed or taken."""
        return self._away

    def close(self) -> None:
        """Ends all cameras and finishes what is open; leases are then for the keeper to give back."""
        self._closing.set()
        self._watcher.runner.stop(STOP_SECONDS)
        self._runner.join()
        end = monotonic() + DRAIN_SECONDS
        while self._waiting() and monotonic() < end:
            self._closed.wait(LOOK)
        self._closed.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            self._machine.watch()
        except BaseException:
            log.critical("the watch of this node has failed; it begins again", exc_info=True)
            os._exit(1)  # what is open is closed by who begins next, as after any other crash

    def _forever(self, work: Callable[[], object], pause: float) -> None:
        while not self._closed.wait(pause):
            try:
                work()
            except StoreUnavailable as error:
                log.debug("%s", error)  # the keeper says so
            except Exception:
                log.exception("a fault in the keeping of cameras; it is tried again")

    def _take(self) -> None:
        """Gives back the leases of cameras that have ended, and takes those of cameras that are ready to begin."""
        for name in self._over():
            self._keeper.drop(name)
            self._taken.discard(name)
        if self._keeper.cameras:
            self._away = self._keeper.away
        try:
            for name in self._missing():
                if self._keeper.take(name) is not None:
                    self._taken.add(name)
                self._away = False
        except StoreUnavailable:
            self._away = True

    def _missing(self) -> list[str]:
        if self._closing.is_set():
            return []
        with self._lock:
            wanted = [name for name in self._prepared if name not in self._taken]
        return [name for name in wanted if self._watcher.has_ended(name)]

    def _over(self) -> list[str]:
        """Returns the cameras that have ended here, and whose last events are in the store or have had the time."""
        now, held, waiting = monotonic(), self._keeper.cameras, self._waiting()
        with self._lock:
            leaving = {name for name in self._taken if name not in self._assigned or name not in held}
        ended = {name for name in leaving if self._watcher.has_ended(name)}
        self._ended = {name: self._ended.get(name, now) for name in ended}
        return [name for name, since in self._ended.items() if not waiting or now - since >= DRAIN_SECONDS]

    def _waiting(self) -> int:
        report = self._machine.router.report().get(STORE)
        return 0 if report is None else report.waiting

    def _settle(self) -> None:
        """Has those cameras watched whose lease is held, and no others. Nothing here waits for the database."""
        if self._closing.is_set():
            return
        wanted, watched = self.watched(), self._watcher.cameras
        if gone := [name for name in watched if name not in wanted]:
            self._watcher.drop(gone)
        changed = {name: camera for name, camera in wanted.items() if watched.get(name) != camera}
        if len(changed) > 1 and self._begin(wanted) is None:
            return
        for name, camera in changed.items():  # one that cannot be watched keeps no others from it
            present = {one: watched[one] for one in watched if one in wanted}
            if (why := self._begin({**present, name: camera})) is None:
                watched = {**present, name: camera}
            else:
                self._fail([name], why)
                with self._lock:
                    self._prepared.pop(name, None)

    def _begin(self, cameras: Mapping[str, Camera]) -> str | None:
        """Has these cameras watched; returns why they cannot be, and nothing has changed."""
        try:
            self._watcher.change(cameras)
        except UserError as error:
            return str(error)
        return None

    def _prepare(self) -> None:
        """Loads the scenes of cameras that are to be watched here, one camera after another."""
        with self._lock:
            missing = {name: one for name, one in self._assigned.items() if self._prepared.get(name) != one}
            tried = dict(self._troubles)
        for name, camera in missing.items():
            if name in tried and monotonic() < tried[name][1]:
                continue
            try:
                self._load(camera)
            except UserError as error:
                self._fail([name], str(error))
            else:
                with self._lock:
                    self._troubles.pop(name, None)
                    if self._assigned.get(name) == camera:
                        self._prepared[name] = camera
                return  # and look again: there may be others now

    def _load(self, camera: Camera) -> None:
        cache = self._machine.cache
        if is_learning(camera, cache.folder):
            return
        for name in camera.scenes:
            scene = cache.get(name)
            area_mask(camera.watch, camera.ignore, scene.settings.input.size)
            if self.fps is None:
                self.fps = self._measure(scene)

    def _fail(self, names: Iterable[str], why: str) -> None:
        with self._lock:
            for name in names:
                if self._troubles.get(name, ("",))[0] != why:
                    log.error("%s: not watched here: %s", name, why)
                self._troubles[name] = why, monotonic() + RETRY
