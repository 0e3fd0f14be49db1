"""`score`: sources are scored against a scene; overlay, scores, timeline and events are written for each."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from msflow_stream.config import ScoreSettings
from msflow_stream.events.detector import EventDetector
from msflow_stream.report import labelled_spans, timeline
from msflow_stream.results import (
    OVERLAY,
    RUN,
    TIMELINE,
    MapWriter,
    ScoreRow,
    ScoreWriter,
    write_events,
    write_json,
)
from msflow_stream.scene import Calibration, Scene
from msflow_stream.scorer import Scorer
from msflow_stream.smoothing import Smoother
from msflow_stream.stream.pairing import with_scores
from msflow_stream.types import Frame, FrameScore, UserError
from msflow_stream.video.overlay import Overlay, OverlayStyle
from msflow_stream.video.redact import redact
from msflow_stream.video.sources import Reader, expand_sources, is_live, open_source, source_name
from msflow_stream.video.writer import VideoWriter
from pipelines.fit import versions
from pipelines.measure import ClipTruth, Evaluation, find_truth
from pipelines.terminal import progress, table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """What `score` is asked for, apart from the scene.

    Attributes:
        out: the run's folder; each source gets a sub-folder of its name.
        labels, masks: a .npy file, or a folder with one per source.
        frames: which frames count for the AUROC, `sampled` or `all`.
        max_frames, duration: stop each source after so many frames or seconds.
    """

    out: Path
    labels: Path | None = None
    masks: Path | None = None
    frames: str = "sampled"
    overlay: bool = True
    save_maps: bool = False
    overwrite: bool = False
    max_frames: int | None = None
    duration: float | None = None
    image_rate: Fraction = Fraction(25)


@dataclass(slots=True)
class Scored:
    """What came of one source."""

    folder: Path
    rows: list[ScoreRow]
    frames: int
    damaged: int
    events: int
    seconds: float
    interrupted: bool


def score(
    sources: Sequence[str], scene: Scene, settings: ScoreSettings, job: ScoreJob, device: str = "auto", console: Console | None = None
) -> Evaluation | None:
    """Scores every source in turn and prints a table; with labels or masks, also AUROC, which it returns.

    Ctrl-C ends the source at hand properly and leaves the rest.

    Raises:
        UserError: bad sources, labels that do not fit, an existing output folder.
        KeyboardInterrupt: after everything scored so far is safely written.
    """
    console = console or Console()
    specs = expand_sources(sources)
    truths = _check(specs, job)
    scorer = Scorer(scene, device, settings)
    evaluation = Evaluation(job.frames) if job.labels or job.masks else None
    results: list[Scored] = []
    with progress() as bars:
        for spec in specs:
            results.append(_score_source(spec, scorer, job, truths.get(spec), evaluation, bars))
            if results[-1].interrupted:
                break
    _print(console, scene, results)
    if evaluation is not None:
        evaluation.print(console, settings.smoothing)
        evaluation.save(job.out)
    if results[-1].interrupted:
        raise KeyboardInterrupt
    return evaluation


def _check(specs: Sequence[str], job: ScoreJob) -> dict[str, ClipTruth]:
    """Everything that can be wrong with the sources, before the first frame is scored."""
    truths = {}
    for spec in specs:
        folder = job.out / source_name(spec)
        if folder.exists() and not job.overwrite:
            raise UserError(f"{folder} exists already: choose another --out or give --overwrite")
        if is_live(spec):
            if job.labels or job.masks:
                raise UserError(f"{redact(spec)} is live: labels and masks belong to files")
            continue
        with open_source(spec, image_rate=job.image_rate) as reader:
            frames = reader.info.frames
        truths[spec] = find_truth(spec, frames, job.labels, job.masks, alone=len(specs) == 1)
    return truths


def _score_source(
    spec: str, scorer: Scorer, job: ScoreJob, truth: ClipTruth | None, evaluation: Evaluation | None, bars: Progress
) -> Scored:
    """One source: scored into a folder that takes its name when it is complete."""
    folder = job.out / source_name(spec)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    every = 1 if job.overlay else scorer.settings.every
    started = time.monotonic()
    try:
        with open_source(spec, every, job.image_rate, max_frames=job.max_frames, duration=job.duration) as reader:
            sinks = _Sinks(partial, spec, reader, scorer, job)
            interrupted = sinks.take_all(reader, bars)
            if not sinks.rows:
                raise UserError(f"{reader.info.name}: no frame was scored, it ended before the first one")
            result = Scored(
                folder, sinks.rows, reader.frames_read, reader.damaged, len(sinks.events), time.monotonic() - started, interrupted
            )
            _finish(partial, spec, scorer, reader, result, truth)
    except BaseException:
        if not (partial / RUN).exists():
            _clear(partial)
        raise
    if evaluation is not None and truth is not None:
        evaluation.add(reader.info.name, truth, result.rows, sinks.pixel_auroc, reader.frames_read)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial, folder)
    return result
