"""The thread of a watch that looks after what is learnt beside it: who learns, what is to be done, and by whom."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from threading import Event, Lock, Thread
from time import monotonic
from types import TracebackType
from typing import Self

from msflow_stream.config.cameras import Backoff
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.teaching.layout import learn_folder
from msflow_stream.teaching.learning import LearningRecord, phase_of
from msflow_stream.teaching.progress import Progress, Stage
from msflow_stream.types import UserError
from msflow_stream.watch.report import CameraReport, WatchReport
from msflow_stream.watch.watcher import Watcher

from .governor import Governor
from .teaching_round import TeachingRound
from .work_job import BUSY, MISTAKE, WorkJob, fail
from .worker_process import WorkerProcess

log = logging.getLogger(__name__)

LOOK = 1.0  # seconds between two looks
NOTED = 5.0  # seconds between two writings of how far the cameras are
CLOSE_SECONDS = 5.0
STARVED, LEAST_SHARE = 10.0, 0.05  # seconds, and the share of a core that work should get in them
BACKOFF = Backoff(first=2.0, ceiling=120.0)
MOST_CRASHES = 5  # of a piece of work, one after another, that say nothing
STAGES: dict[str, tuple[Stage, str]] = {
    "learning": ("recording", "s of footage"),
    "calibrating": ("calibrating", "s of normal scores"),
}


class Supervisor:
    """Moves cameras that learn from phase to phase, and has one worker at a time do what is to be done.

    A context manager. All of it is in a thread of its own, and on the disk: nothing here is in the way of a frame, and
    nothing is lost with it.

    Args:
        watcher: the watch.
        scenes: the folder of the scenes.
        device: where work is done.
        teaching: looks after what people taught; None where nobody teaches.
        look: seconds between two looks.
    """

    def __init__(
        self,
        watcher: Watcher,
        scenes: Path,
        device: str = "auto",
        teaching: TeachingRound | None = None,
        look: float = LOOK,
    ) -> None:
        self._watcher, self._scenes, self._device, self._teaching, self._look = watcher, scenes, device, teaching, look
        self._closing, self._lock = Event(), Lock()
        self._worker: WorkerProcess | None = None
        self._begun: LearningRecord | None = None  # of the scene that the worker works on
        self._governor = Governor()
        self._failures: dict[WorkJob, str] = {}  # not tried again before somebody says so
        self._crashes: dict[WorkJob, tuple[int, float]] = {}  # how many, and when to try again
        self._noted, self._random = -NOTED, Random()
        self._fed: tuple[WorkerProcess, float, float] | None = (
            None  # seconds that it might run, and the time it had had
        )
        self._thread = Thread(target=self._run, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)

    def try_again(self) -> None:
        """Has everything tried again that has failed."""
        with self._lock:
            self._failures.clear()
            self._crashes.clear()

    def seen(self, report: WatchReport) -> WatchReport:
        """Returns a report with what is known here besides: which calibration has failed, and why."""
        with self._lock:
            failed = {job.scene.name: why for job, why in self._failures.items() if job.kind == "calibrate"}
        if not failed:
            return report
        return replace(report, cameras=tuple(_with_failure(camera, failed) for camera in report.cameras))

    def _run(self) -> None:
        try:
            while not self._closing.wait(self._look):
                try:
                    self._tick()
                except Exception:
                    log.exception("what is learnt beside the watch has a fault; it is tried again")
        finally:
            self._end_worker()
            if self._teaching is not None:
                self._teaching.close()

    def _tick(self) -> None:
        self._watcher.advance()
        report = self._watcher.report()
        self._look_after([*self._of_cameras(report), *self._taught()])
        self._govern(report)
        if monotonic() - self._noted >= NOTED:
            self._noted = monotonic()
            self._note(report)

    def _taught(self) -> tuple[WorkJob, ...]:
        """Returns the candidates that are wanted; a scene that has become another one is taken up before."""
        if self._teaching is None:
            return ()
        if self._teaching():
            self._refresh()
        return self._teaching.wanted()

    def _of_cameras(self, report: WatchReport) -> Iterator[WorkJob]:
        """Yields the work that cameras wait for which learn."""
        learning = {name: camera for name, camera in self._watcher.cameras.items() if camera.learn is not None}
        for one in report.cameras:
            if one.name not in learning:
                continue
            scene = scene_folder(self._scenes, learning[one.name].scene_name)
            phase = phase_of(scene)
            if phase == "fitting":
                yield WorkJob(kind="fit", scene=scene, device=self._device)
            elif one.phase == "calibrating" and (phase == "watching" or 0 < one.phase_of <= one.phase_done):
                yield WorkJob(kind="calibrate", scene=scene, device=self._device)

    def _look_after(self, wanted: list[WorkJob]) -> None:
        """Ends work that nobody wants any more, sees what became of what has ended, and begins what is next."""
        worker = self._worker
        if worker is not None and worker.code is not None:
            self._ended(worker, worker.code)
            return  # what is wanted was found out before it had ended: the next look begins what is wanted still
        if worker is not None and not self._concerns(worker.job):
            log.info("%s: the work on this scene as it was begun is not needed any more", worker.job.scene.name)
            self._end_worker()
        elif worker is not None and worker.job.kind == "candidate" and any(map(self._goes_before, wanted)):
            self._put_off(worker.job)
        if self._worker is None and (job := next(filter(self._may_begin, wanted), None)) is not None:
            try:
                self._begun = LearningRecord.read(job.scene)
                self._worker = WorkerProcess(job)
            except OSError as error:
                self._crashed(job, f"cannot begin: {error.strerror}")

    def _concerns(self, job: WorkJob) -> bool:
        """Returns whether any camera has to do with a piece of work, and it is still the one that was begun."""
        record = LearningRecord.read(job.scene)
        if job.kind == "fit" and self._begun is not None and record is not None and record.fit != self._begun.fit:
            return False
        cameras = self._watcher.cameras.values()
        return any(job.scene.name in one.scenes and (job.kind == "candidate" or one.learn) for one in cameras)

    def _goes_before(self, job: WorkJob) -> bool:
        """Returns whether a piece of work is due for which a candidate waits: a camera cannot be watched without it."""
        return job.kind != "candidate" and self._may_begin(job)

    def _put_off(self, job: WorkJob) -> None:
        """Ends the work on a candidate, which is gone on with when nothing goes before it."""
        log.info("%s: its candidate waits, as another scene is learnt first", job.scene.name)
        self._end_worker()
        with suppress(OSError):
            Progress(stage="waiting", text="another scene is learnt first").write(job.folder)

    def _may_begin(self, job: WorkJob) -> bool:
        with self._lock:
            return job not in self._failures and monotonic() >= self._crashes.get(job, (0, 0.0))[1]

    def _ended(self, worker: WorkerProcess, code: int) -> None:
        self._worker, job = None, worker.job
        worker.end()
        if code == 0:
            with self._lock:
                self._crashes.pop(job, None)
            if job.kind == "candidate" and self._teaching is not None:
                self._teaching.done(job)
            self._refresh()
        elif code == BUSY and self._teaching is not None:  # the next round tells whether one is wanted then
            self._teaching.done(job)
        elif code == MISTAKE and (reason := _reason(job)) is not None:
            self._failed(job, reason)
        elif code == MISTAKE:  # what was wrong could not be written down, or somebody wants it tried again already
            self._crashed(job, "the log says why")
        else:
            self._crashed(job, f"exit code {code}")

    def _refresh(self) -> None:
        try:
            self._watcher.refresh()
        except UserError as error:
            log.error("the new scene cannot be used: %s", error)

    def _crashed(self, job: WorkJob, how: str) -> None:
        with self._lock:
            count = self._crashes.get(job, (0, 0.0))[0] + 1
            wait = BACKOFF.delay(count, self._random)
            self._crashes[job] = count, monotonic() + wait
        log.warning("%s: the work on its scene has ended early (%s)", job.scene.name, how)
        if count >= MOST_CRASHES:
            reason = f"it has ended early {count} times ({how}); is there enough memory? Reload to try again"
            fail(job, reason)
            self._failed(job, reason)

    def _failed(self, job: WorkJob, reason: str) -> None:
        log.error("%s: %s failed: %s", job.scene.name, job.kind, reason)
        with self._lock:
            self._crashes.pop(job, None)
            if job.kind != "candidate":  # which is not wanted any more, until somebody says so
                self._failures[job] = reason

    def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()

    def _govern(self, report: WatchReport) -> None:
        """Has the worker stand still while the watch falls behind."""
        worker = self._worker
        may_run = self._governor.look(report, worker is not None)
        if worker is None:
            return
        self._feed(worker, may_run)
        if worker.paused is not may_run:
            return
        if may_run:
            worker.go_on()
            return
        worker.pause()
        progress = Progress.read(worker.job.folder)
        if progress is not None and progress.stage not in ("paused", "failed", "done"):
            text = "stands still, as the cameras need the machine"
            with suppress(OSError):
                replace(progress, stage="paused", text=text).write(worker.job.folder)

    def _feed(self, worker: WorkerProcess, may_run: bool) -> None:
        """Lifts a worker that may run, but gets next to no time on a machine that is busy, from the idle class."""
        used = worker.cpu_seconds
        if self._fed is None or self._fed[0] is not worker:
            self._fed = worker, 0.0, used
        ran = self._fed[1] + (self._look if may_run else 0.0)  # pauses may be many, and what is between them short
        self._fed = worker, ran, self._fed[2]
        if ran >= STARVED and used:
            if used - self._fed[2] < LEAST_SHARE * ran:
                worker.lift()
            self._fed = worker, 0.0, used

    def _note(self, report: WatchReport) -> None:
        """Writes down how far the cameras are that record or calibrate."""
        cameras = self._watcher.cameras
        for one in report.cameras:
            if one.phase not in STAGES or one.name not in cameras or cameras[one.name].learn is None:
                continue
            stage, unit = STAGES[one.phase]
            folder = learn_folder(scene_folder(self._scenes, cameras[one.name].scene_name))
            with suppress(OSError):
                Progress(
                    stage=stage, done=round(one.phase_done, 1), of=one.phase_of, unit=unit, text=one.phase_text
                ).write(folder)


def _reason(job: WorkJob) -> str | None:
    """Returns why work has failed, as its folder says it; None where that says nothing of a failure (any more)."""
    record, progress = LearningRecord.read(job.scene), Progress.read(job.folder)
    if job.kind == "fit" and record is not None and record.phase != "failed":
        return None
    return progress.text if progress is not None and progress.stage == "failed" else None


def _with_failure(camera: CameraReport, failed: dict[str, str]) -> CameraReport:
    if camera.phase != "calibrating" or camera.scene not in failed:
        return camera
    return replace(camera, phase="failed", phase_text=failed[camera.scene])
