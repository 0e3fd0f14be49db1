"""`work`: one long piece of work of a scene beside a watch: its first fit, its thresholds, or a candidate."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

from msflow_stream.config.loading import load
from msflow_stream.cores import spare_others, stand_back_entirely
from msflow_stream.files import write_json
from msflow_stream.results.wording import calibration_summary
from msflow_stream.scenes.checkpoints import FileCheckpoints
from msflow_stream.scenes.folder import fit_identity, read_record, stored_settings
from msflow_stream.scenes.recalibration import recalibrated
from msflow_stream.scenes.thresholds import event_times, save_calibration
from msflow_stream.teaching.layout import FOOTAGE, learn_folder
from msflow_stream.teaching.learning import LearningRecord, who_asked
from msflow_stream.teaching.progress import Progress
from msflow_stream.teaching.sync import is_asked_for, news
from msflow_stream.types import UserError
from msflow_stream.video.packets.footage import Footage
from msflow_stream.watch.calibration_run import run_file, statistics

from .teach import BusyError, make
from .terminal.log_setup import logged
from .work_job import BUSY, MISTAKE, Kind, WorkJob, fail

log = logging.getLogger(__name__)

BEGUN = "fit.json"  # says with which settings a fit was begun
MOST_FRAMES = 4000  # that a first fit learns from; more are thinned out evenly
TOLD = 1.0  # seconds between two writings of how far it is
MEMORY_SHARE = 700  # of 1000, by which its memory counts for more, when it runs out
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def work(job: WorkJob) -> int:
    """Does the work, as the last in line for the cores; killed at any moment, the same call goes on.

    Returns:
        The exit code: 0; MISTAKE where it cannot be done for a reason that a person can mend, which the folder says;
        BUSY where another program does it.
    """
    with logged("json"):
        _die_with_the_watch()
        stand_back_entirely()
        spare_others(MEMORY_SHARE)
        try:
            WORK[job.kind](job)
        except BusyError as error:
            log.info("%s", error)
            return BUSY
        except (UserError, OSError) as error:
            log.error("%s: %s", job.scene.name, error)
            fail(job, str(error))
            return MISTAKE
    return 0


def _fit(job: WorkJob) -> None:
    from .fit import FitJob, fit  # slow: it imports torch, which thresholds do without

    record, footage = _record(job), learn_folder(job.scene) / FOOTAGE
    found = Footage.read(footage)
    if found is None or not found.segments:
        raise UserError("there is no footage to learn from: watch the camera again")
    sampled = sum(segment.frames for segment in found.segments) // record.every
    stride = max(1, -(-sampled // MOST_FRAMES))
    settings = load(None, [f"score.every={record.every}", *record.settings])
    tell = _Teller(job.folder, {"reading": sampled // stride})
    Progress(stage="reading", of=sampled // stride, unit="frames").write(job.folder)
    begun = {"settings": list(record.settings), "every": record.every, "stride": stride, "frames": sampled}
    by = who_asked(job.scene)
    fit_job = FitJob(device=job.device, stride=stride, tell=tell, by=by, privacy=record.hidden)
    if _read(job.folder / BEGUN) == begun:
        fit_job = replace(fit_job, resume=True)
    else:  # with other settings it begins anew
        FileCheckpoints(job.scene.parent / f".{job.scene.name}.fit").clear()
        write_json(job.folder / BEGUN, begun)
    fit([str(footage)], job.scene, settings, fit_job)
    record.moved("calibrating").write(job.scene)
    Progress(stage="calibrating", of=record.calibrate, unit="s of normal scores").write(job.folder)
    log.info("%s: the scene is fitted", job.scene.name)


def _calibrate(job: WorkJob) -> None:
    record, scene = _record(job), read_record(job.scene)
    settings, path = stored_settings(scene), run_file(job.scene, fit_identity(scene))
    if not path.exists():
        raise UserError("there are no normal scores to make thresholds of: watch the camera again")
    normal = statistics(path)
    if not normal.scores:
        raise UserError("there are no normal scores to make thresholds of: watch the camera again")
    made = recalibrated(normal.scores, normal.calibration(*event_times(settings)), record.rate, settings)
    save_calibration(job.scene, made.calibration)
    record.moved("watching").write(job.scene)
    said = calibration_summary(made.calibration, settings.score.kind)
    Progress(stage="done", done=1, of=1, text=said).write(job.folder)
    log.info("%s: %s", job.scene.name, said)
    FileCheckpoints(job.scene.parent / f".{job.scene.name}.fit").clear()
    shutil.rmtree(learn_folder(job.scene) / FOOTAGE, ignore_errors=True)  # nobody needs to keep who walked by


def _candidate(job: WorkJob) -> None:
    if not (is_asked_for(job.scene) or news(job.scene)):  # another program was faster
        return
    version = make(job.scene, device=job.device, tell=_Teller(job.folder, {}))
    text = f"version {version.number} is {'refused' if version.state == 'refused' else 'the candidate'}"
    Progress(stage="done", done=1, of=1, text=text).write(job.folder)
    log.info("%s: %s", job.scene.name, text)


def _read(path: Path) -> Any:
    """Returns what a JSON file holds; None where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


WORK: dict[Kind, Callable[[WorkJob], None]] = {"fit": _fit, "calibrate": _calibrate, "candidate": _candidate}


def _record(job: WorkJob) -> LearningRecord:
    record = LearningRecord.read(job.scene)
    if record is None:
        raise UserError(f"{job.scene.name} is not being learnt")
    return record


class _Teller:
    """Writes down how far a fit is, now and then."""

    def __init__(self, folder: Path, of: dict[str, int]) -> None:
        self._folder, self._of, self._told = folder, of, 0.0

    def __call__(self, progress: Progress) -> None:
        if monotonic() - self._told < TOLD:
            return
        self._told = monotonic()
        with suppress(OSError):
            replace(progress, of=progress.of or self._of.get(progress.stage, 0)).write(self._folder)


def _die_with_the_watch() -> None:
    """Ends this process with the one that began it, even if it is stopped at that moment."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)
    if not sys.stdin.isatty():
        Thread(target=_end_with_input, name="input", daemon=True).start()


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)
