"""The cameras of a watch: scored together, each started, changed and ended without disturbing the others."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from threading import RLock, Thread
from time import monotonic

from msflow_stream.config.cameras import Camera
from msflow_stream.machine import device_memory
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.inference import Inference
from msflow_stream.scoring.scorer import FrameError, ScoreRequest, score_batch
from msflow_stream.scoring.static_gate import ReusingScorer, StaticGate
from msflow_stream.stream.contract import Limits, SourceError
from msflow_stream.stream.counters import SourceCounts
from msflow_stream.stream.runner import StreamRunner
from msflow_stream.types import Frame, FrameScore, UserError
from msflow_stream.watch.camera import WatchedCamera, scenes_of
from msflow_stream.watch.camera_events import EventCallback
from msflow_stream.watch.camera_outputs import WatchOutputs
from msflow_stream.watch.report import WatchReport

log = logging.getLogger(__name__)

FLUSH_SECONDS = 10.0  # that a camera which has ended has to finish what it writes
STUCK_SECONDS = 60.0  # without a frame delivered although some are on their way, the process is not healthy


class Watcher:
    """Stations by name, and the engine that they share.

    Attributes:
        engine: to be entered, joined and stopped by the user of this.
        failed_reloads: how often a cameras file could not be used, to be counted by who reads it.
    """

    def __init__(
        self,
        cameras: Mapping[str, Camera],
        bank: SceneCache,
        written: WatchOutputs,
        random: Random,
        limits: Limits,
        publish: EventCallback,
        inference: Inference | None = None,
    ) -> None:
        """Prepares; nothing is read before `start`.

        Raises:
            UserError: a scene that cannot be loaded, or areas that leave nothing to watch.
        """
        self.engine = StreamRunner(self._score, self._deliver, self._ended, limits)
        self._bank, self._written, self._random, self._publish = bank, written, random, publish
        self._inference = inference
        self._lock = RLock()
        self._gated = ReusingScorer(
            lambda asked: score_batch(asked, self._inference),
            frame_of=lambda one: one.frame,
            gate_of=self._gate,
            key_of=lambda one: (one.scene, one.settings, id(one.area)),
        )
        self._stations = {name: self._station(name, camera) for name, camera in cameras.items()}
        self._order = list(cameras)
        self._running: set[str] = set()
        self._successors: dict[str, WatchedCamera | None] = {}  # of cameras that are asked to end, None for no other
        self._failures: dict[str, str] = {}
        self._closing: dict[WatchedCamera, Thread] = {}
        self._started = datetime.now(UTC)
        self.failed_reloads = self._reloads = 0
        self._progress = (0, monotonic())

    def _station(self, name: str, camera: Camera) -> WatchedCamera:
        return WatchedCamera(name, camera, self._bank, self._written, Random(self._random.random()), self._publish)

    def start(self) -> None:
        """Starts every camera, in threads of their own: one that is offline holds up none."""
        with self._lock:
            for station in self._stations.values():
                self._start(station)

    def _start(self, station: WatchedCamera) -> None:
        if station.start(self.engine):
            self._running.add(station.name)

    def _score(self, batch: Sequence[tuple[str, Frame]]) -> list[FrameScore]:
        asked = [self._asked(source, frame) for source, frame in batch]
        try:
            return self._gated(asked)
        except FrameError as error:
            raise SourceError(error.source, str(error)) from error

    def _gate(self, asked: ScoreRequest) -> StaticGate | None:
        with self._lock:
            return self._stations[asked.frame.source].gate

    def _asked(self, source: str, frame: Frame) -> ScoreRequest:
        with self._lock:
            station = self._stations[source]
        try:
            return station.asked(frame)
        except Exception as error:
            raise self._one_camera(source, error) from error

    def _deliver(self, source: str, frame: Frame, score: FrameScore | None) -> None:
        if score is None:
            return
        try:
            self._stations[source].take(frame, score)
        except Exception as error:
            raise self._one_camera(source, error) from error

    @staticmethod
    def _one_camera(source: str, error: Exception) -> SourceError:
        """What ends one camera only, whatever it is; said in full where a person cannot mend it."""
        if not isinstance(error, UserError | OSError):
            log.error("%s: internal error; report it with the log", source, exc_info=error)
        return SourceError(source, str(error))

    def _ended(self, name: str, error: Exception | None) -> None:
        """The last frame of a camera is delivered: it is over, or begins anew with other settings."""
        with self._lock:
            station = self._stations[name]
            self._running.discard(name)
            if error is not None:
                self._failures[name] = str(error)
                log.error("%s: watched no longer (%s)", name, error)
            self._close(station, FLUSH_SECONDS)
            if name in self._successors:
                self._replace(name, self._successors.pop(name))
            if not self._running and not self._successors:
                self.engine.finish()

    def _replace(self, name: str, successor: WatchedCamera | None) -> None:
        self._failures.pop(name, None)
        if successor is None:
            del self._stations[name]
            return
        self._stations[name] = successor
        try:
            self._start(successor)
        except (UserError, OSError) as error:  # a folder that cannot be made is this camera's trouble
            self._failures[name] = str(error)
            log.error("%s: not watched (%s)", name, error)

    def reload(self, cameras: Mapping[str, Camera]) -> None:
        """Changes to these cameras: those that are as before go on, all others end, begin, or begin anew.

        Raises:
            UserError: nothing was changed.
        """
        fitted = self._bank.reload(scenes_of(cameras))
        with self._lock:
            before = self._intended()
            changed = [name for name in cameras if before.get(name) != cameras[name] or name in self._failures]
            stations = {name: self._station(name, cameras[name]) for name in changed}
            self._order = list(cameras)
            gone = [name for name in before if name not in cameras]
            for name, station in [*stations.items(), *((name, None) for name in gone)]:
                self._succeed(name, station)
            self._reloads += 1
        log.info(
            "cameras file read again: %d changed or new, %d gone; scenes loaded: %s",
            *(len(stations), len(gone), ", ".join(fitted) or "none"),
        )

    def _intended(self) -> dict[str, Camera]:
        """The cameras as they are to be, once those that are asked to end have ended."""
        stations: dict[str, WatchedCamera | None] = {**self._stations, **self._successors}
        return {name: station.camera for name, station in stations.items() if station is not None}

    def _succeed(self, name: str, station: WatchedCamera | None) -> None:
        if name in self._running:
            self._successors[name] = station  # when what is on its way is delivered
            with suppress(KeyError):  # its last frame is delivered already: `_ended` waits for us
                self.engine.remove(name)
        elif station is not None or name in self._stations:
            self._replace(name, station)

    def _close(self, station: WatchedCamera, timeout: float) -> None:
        """Begins to finish what a camera writes, in a thread, which then says what became of its frames."""

        def finish() -> None:
            station.close(timeout)
            counts = self.engine.snapshot().sources.get(station.name)
            if counts is not None:
                log.info("%s: %s", station.name, tally(counts, station.lost))

        present = set(self._stations.values())
        self._closing = {one: thread for one, thread in self._closing.items() if one in present or thread.is_alive()}
        self._closing[station] = thread = Thread(target=finish, name=f"close {station.name}", daemon=True)
        thread.start()

    def close(self, timeout: float) -> None:
        """Lets every camera finish what it writes, all at once, within so many seconds."""
        with self._lock:
            stations = list(self._stations.values())
            for station in stations:
                if station not in self._closing:
                    self._close(station, timeout)
            threads = list(self._closing.values())
        end = monotonic() + timeout + 1.0
        for thread in threads:
            thread.join(max(0.0, end - monotonic()))

    def report(self) -> WatchReport:
        """How everything is doing now."""
        snapshot = self.engine.snapshot()
        with self._lock:
            stations = [self._stations[name] for name in self._order if name in self._stations]
            return WatchReport(
                cameras=tuple(
                    station.report(snapshot.sources.get(station.name), self._failures.get(station.name))
                    for station in stations
                ),
                engine=snapshot,
                started=self._started,
                device=str(self._bank.device),
                device_bytes=device_memory(self._bank.device),
                reloads=self._reloads,
                failed_reloads=self.failed_reloads,
            )

    def stuck(self) -> str | None:
        """Why the process should be restarted: frames are on their way, but none has arrived for long."""
        counts = self.engine.snapshot().sources.values()
        done = sum(one.delivered + sum(one.dropped.values()) for one in counts)
        before, since = self._progress
        if done != before or not any(one.in_flight for one in counts):
            self._progress = (done, monotonic())
        elif monotonic() - since > STUCK_SECONDS:
            return f"no frame was delivered for {monotonic() - since:.0f} s, though some wait"
        return None

    @property
    def failures(self) -> Mapping[str, str]:
        """Cameras that are watched no longer because of an error, with what it said."""
        with self._lock:
            return dict(self._failures)


def tally(counts: SourceCounts, lost: Mapping[str, int]) -> str:
    """What became of a camera's frames.

    >>> tally(SourceCounts(taken=9, scored=7, delivered=6, dropped={"newer frame": 3}), {"recorder:disk": 1})
    '9 frames came in, 6 delivered, 3 dropped (3 newer frame); not kept: 1 recorder:disk'
    """
    said = f"{counts.taken} frames came in, {counts.delivered} delivered, {sum(counts.dropped.values())} dropped"
    causes, kept_not = (", ".join(f"{n} {why}" for why, n in one.items() if n) for one in (counts.dropped, lost))
    return said + (f" ({causes})" if causes else "") + (f"; not kept: {kept_not}" if kept_not else "")
