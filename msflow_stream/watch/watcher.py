"""The cameras of a watch: scored together, each started, changed and ended without disturbing the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from threading import Lock, RLock, Thread
from time import monotonic

from msflow_stream.config.cameras import Camera
from msflow_stream.config.teaching import Teaching
from msflow_stream.machine import device_memory
from msflow_stream.scenes.card_frames import card_of
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.inference import Inference
from msflow_stream.scoring.scorer import FrameError, ScoreRequest, score_batch
from msflow_stream.scoring.static_gate import ReusingScorer
from msflow_stream.stream.contract import Limits, SourceError
from msflow_stream.stream.runner import StreamRunner
from msflow_stream.teaching.promotion import promote_by_rule
from msflow_stream.types import Frame, FrameScore, UserError
from msflow_stream.watch.camera import WatchedCamera, is_learning, scenes_of
from msflow_stream.watch.camera_outputs import WatchOutputs
from msflow_stream.watch.event_router import EventRouter
from msflow_stream.watch.learning_camera import LearningCamera
from msflow_stream.watch.live_frames import LiveFrames
from msflow_stream.watch.report import WatchReport, tally
from msflow_stream.watch.shadowing import Shadows

log = logging.getLogger(__name__)

FLUSH_SECONDS = 10.0  # for a camera which has ended to finish what it writes
AnyCamera = WatchedCamera | LearningCamera
STUCK_SECONDS = 60.0  # without a frame delivered although some are on their way, the process is not healthy


class Watcher:
    """The cameras by name, and the stream that they share.

    Attributes:
        runner: the stream, to be entered, joined and stopped by the user of this.
        failed_reloads: number of times that a cameras file could not be used, counted by who reads it.
        teaching: says whether a candidate is promoted by a rule; set by who reads the cameras file.
    """

    def __init__(
        self,
        cameras: Mapping[str, Camera],
        *,
        scenes: SceneCache,
        outputs: WatchOutputs,
        router: EventRouter,
        random: Random,
        limits: Limits,
        inference: Inference | None = None,
        frames: LiveFrames | None = None,
        stays: bool = False,
        holds: Callable[[str], bool] = lambda camera: True,
    ) -> None:
        """Prepares; nothing is read before `start`.

        Args:
            cameras: as the cameras file has them.
            scenes: the scenes that they are compared with.
            outputs: the settings of what is written of each.
            router: the router that their events go to.
            random: the source of the jitter of waits.
            limits: the bounds of the stream.
            inference: runs the networks; None runs them as they are.
            frames: has the newest frame of each camera, for who looks.
            stays: without any camera it waits for others; else it ends with its last one.
            holds: whether a camera is still this machine's, where many machines watch: no frame is written else.

        Raises:
            UserError: a scene that cannot be loaded, or areas that leave nothing to watch.
        """
        self.runner = StreamRunner(self._score, self._deliver, self._ended, limits)
        self._scenes, self._outputs, self._router, self._random = scenes, outputs, router, random
        self._frames, self._stays, self._holds = frames, stays, holds
        self._in_order = limits.scorers == 1
        self.teaching = Teaching()
        self._shadows = Shadows(scenes, self._is_busy, self._promote)
        self._lock, self._reloading = RLock(), Lock()
        self._scorer: ReusingScorer[ScoreRequest] = ReusingScorer(
            lambda requests: score_batch(requests, inference),
            frame_of=lambda request: request.frame,
            gate_of=lambda request: self._camera(request.frame.source).gate,
            key_of=lambda request: (request.scene, request.settings, id(request.area)),
        )
        self._cameras: dict[str, AnyCamera] = {name: self._watched(name, camera) for name, camera in cameras.items()}
        self._order = list(cameras)
        self._running: set[str] = set()
        self._successors: dict[str, AnyCamera | None] = {}  # of cameras that are asked to end, None for no other
        self._failures: dict[str, str] = {}
        self._closing: dict[AnyCamera, Thread] = {}
        self._started = datetime.now(UTC)
        self.failed_reloads = self._reloads = 0
        self._progress = (0, monotonic())

    def _watched(self, name: str, camera: Camera) -> AnyCamera:
        if is_learning(camera, self._scenes.folder):
            return LearningCamera(
                name,
                camera,
                scene=scene_folder(self._scenes.folder, camera.scene_name),
                card=card_of(self._scenes.device),
                random=Random(self._random.random()),
                frames=self._frames,
            )
        return WatchedCamera(
            name,
            camera,
            scenes=self._scenes,
            outputs=self._outputs,
            router=self._router,
            random=Random(self._random.random()),
            frames=self._frames,
            shadows=self._shadows,
        )

    def _is_busy(self) -> bool:
        """Returns whether any frame waits or is worked on."""
        return any(one.in_flight for one in self.runner.snapshot().sources.values())

    def _promote(self, scene: Path) -> None:
        """Promotes the candidate of a scene where the rule says so, and takes it up."""
        if self.teaching.promote == "auto" and promote_by_rule(scene, self.teaching.shadow) is not None:
            self.refresh()

    def start(self) -> None:
        """Starts every camera, in threads of their own: one that is offline holds up none."""
        with self._lock:
            for camera in self._cameras.values():
                self._start(camera)

    def _start(self, camera: AnyCamera) -> None:
        if camera.start(self.runner):
            self._running.add(camera.name)

    def _camera(self, name: str) -> AnyCamera:
        with self._lock:
            return self._cameras[name]

    def _score(self, batch: Sequence[tuple[str, Frame]]) -> list[FrameScore]:
        requests = []
        for source, frame in batch:
            with _errors_of(source):
                requests.append(self._camera(source).request(frame))
        try:
            return self._scorer(requests)
        except FrameError as error:
            raise SourceError(error.source, str(error)) from error

    def _deliver(self, source: str, frame: Frame, score: FrameScore | None) -> None:
        with _errors_of(source):
            if self._holds(source):
                self._cameras[source].write(frame, score)  # without the lock: no reload delays a frame

    def _ended(self, name: str, error: Exception | None) -> None:
        """Closes a camera whose last frame is delivered: it is over, or begins anew with other settings."""
        with self._lock:
            camera = self._cameras[name]
            self._running.discard(name)
            if error is not None:
                self._failures[name] = str(error)
                log.error("%s: watched no longer (%s)", name, error)
            self._close(camera, FLUSH_SECONDS)
            if name in self._successors:
                self._replace(name, self._successors.pop(name))
            if self._running or self._successors:
                return
            if self._stays:
                log.info("all cameras have ended; others may be added")
            else:
                self.runner.finish()

    def _replace(self, name: str, successor: AnyCamera | None) -> None:
        self._failures.pop(name, None)
        if successor is None:
            del self._cameras[name]
            if self._frames is not None:
                self._frames.forget(name)
            return
        self._cameras[name] = successor
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
        with self._reloading:
            self._change(cameras, "cameras file read again", try_again=True)

    def change(self, cameras: Mapping[str, Camera]) -> None:
        """Changes to these cameras as `reload` does, but for those that have failed, which stay so.

        Raises:
            UserError: nothing was changed.
        """
        with self._reloading:
            self._change(cameras, "told what to watch")

    def drop(self, names: Iterable[str]) -> None:
        """Has these cameras end, without a look at anything that could take time."""
        with self._lock:
            for name in names:
                self._succeed(name, None)

    def has_ended(self, name: str) -> bool:
        """Returns whether nothing of a camera is watched or written any more."""
        with self._lock:
            closing = any(one.name == name and thread.is_alive() for one, thread in self._closing.items())
            return not closing and name not in self._cameras and name not in self._successors

    def _change(self, cameras: Mapping[str, Camera], why: str, try_again: bool = False) -> None:
        """Changes to these cameras; those that have failed begin anew if they are to be tried again."""
        gated = [name for name, camera in cameras.items() if camera.skip_static and not self._in_order]
        if gated:
            raise UserError(f"{gated[0]}: skip_static is for the start of a watch on a GPU: begin it again")
        fitted = self._scenes.reload(scenes_of(cameras, self._scenes.folder))
        with self._lock:
            before = self._intended()
            changed = [
                name for name in cameras if before.get(name) != cameras[name] or self._begins_anew(name, try_again)
            ]
            successors = {name: self._watched(name, cameras[name]) for name in changed}
            self._order = list(cameras)
            gone = [name for name in before if name not in cameras]
            for name, successor in [*successors.items(), *((name, None) for name in gone)]:
                self._succeed(name, successor)
            self._reloads += try_again
        log.info(
            "%s: %d changed or new, %d gone; scenes loaded: %s",
            why,
            *(len(successors), len(gone), ", ".join(fitted) or "none"),
        )

    def _begins_anew(self, name: str, try_again: bool) -> bool:
        """Returns whether a camera is to begin anew as it is: it has failed, or its scene is learnt now."""
        camera = self._successors.get(name) or self._cameras.get(name)
        if isinstance(camera, LearningCamera) and (camera.is_learnt or (try_again and camera.has_failed)):
            return True
        return try_again and name in self._failures

    def refresh(self) -> None:
        """Takes up what became of the scenes meanwhile, with the cameras as they are.

        Raises:
            UserError: a scene cannot be used; nothing was changed.
        """
        with self._reloading:
            with self._lock:
                cameras = self._intended()
                present = {name: cameras[name] for name in self._order if name in cameras}
            self._change(present, "scenes looked at again")

    def advance(self) -> None:
        """Moves the cameras that learn to their next phase, where it is time. Called now and then, by one thread."""
        with self._lock:
            learning = [one for one in self._cameras.values() if isinstance(one, LearningCamera)]
        for camera in learning:
            camera.advance()

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """The cameras as they are to be."""
        with self._lock:
            return self._intended()

    def _intended(self) -> dict[str, Camera]:
        """Returns the cameras as they are to be, once those that are asked to end have ended."""
        watched: dict[str, AnyCamera | None] = {**self._cameras, **self._successors}
        return {name: one.camera for name, one in watched.items() if one is not None}

    def _succeed(self, name: str, successor: AnyCamera | None) -> None:
        if name in self._running:
            self._successors[name] = successor  # when what is on its way is delivered
            with suppress(KeyError):  # its last frame is delivered already: `_ended` waits for us
                self.runner.remove(name)
        elif successor is not None or name in self._cameras:
            self._replace(name, successor)

    def _close(self, camera: AnyCamera, timeout: float) -> None:
        """Begins to finish what a camera writes, in a thread, which then says what became of its frames."""

        def finish() -> None:
            camera.close(timeout)
            counts = self.runner.snapshot().sources.get(camera.name)
            if counts is not None:
                log.info("%s: %s", camera.name, tally(counts, camera.losses))

        present = set(self._cameras.values())
        self._closing = {one: thread for one, thread in self._closing.items() if one in present or thread.is_alive()}
        self._closing[camera] = thread = Thread(target=finish, name=f"close {camera.name}", daemon=True)
        thread.start()

    def close(self, timeout: float) -> None:
        """Lets every camera finish what it writes, all at once, within so many seconds."""
        self._shadows.close()
        with self._lock:
            for camera in self._cameras.values():
                if camera not in self._closing:
                    self._close(camera, timeout)
            threads = list(self._closing.values())
        end = monotonic() + timeout + 1.0
        for thread in threads:
            thread.join(max(0.0, end - monotonic()))

    def report(self) -> WatchReport:
        """Returns how everything is doing now."""
        snapshot = self.runner.snapshot()
        with self._lock:
            cameras = [self._cameras[name] for name in self._order if name in self._cameras]
            return WatchReport(
                cameras=tuple(
                    camera.report(snapshot.sources.get(camera.name), self._failures.get(camera.name))
                    for camera in cameras
                ),
                stream=snapshot,
                started=self._started,
                device=str(self._scenes.device),
                device_bytes=device_memory(self._scenes.device),
                reloads=self._reloads,
                failed_reloads=self.failed_reloads,
            )

    def stuck(self) -> str | None:
        """Returns why the process should be restarted: frames are on their way, but none has arrived for long."""
        counts = self.runner.snapshot().sources.values()
        done = sum(one.delivered + sum(one.dropped.values()) for one in counts)
        before, since = self._progress
        if done != before or not any(one.in_flight for one in counts):
            self._progress = (done, monotonic())
        elif monotonic() - since > STUCK_SECONDS:
            return f"no frame was delivered for {monotonic() - since:.0f} s, though some wait"
        return None

    @property
    def failures(self) -> Mapping[str, str]:
        """The cameras that are watched no longer because of an error, with what it said."""
        with self._lock:
            return dict(self._failures)


@contextmanager
def _errors_of(source: str) -> Iterator[None]:
    """Has any error end one camera only; it is logged in full where a person cannot mend it."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, UserError | OSError):
            log.error("%s: internal error; report it with the log", source, exc_info=error)
        raise SourceError(source, str(error)) from error
