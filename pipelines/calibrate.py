"""`calibrate`: thresholds of a scene for a wanted number of false alarms per hour, from scores of normal footage."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console

from msflow_stream.config.engines import EngineName, EnginePrecision
from msflow_stream.config.settings import EngineSettings, EventSettings, Settings
from msflow_stream.logs import redact
from msflow_stream.results.figures import tail_plot
from msflow_stream.results.wording import calibration_wording
from msflow_stream.scenes.calibration import Calibration, CalibrationBasis
from msflow_stream.scenes.folder import read_record
from msflow_stream.scenes.normal import event_times
from msflow_stream.scenes.scene import Scene, stored_settings
from msflow_stream.scenes.tails.fitting import supported_rate
from msflow_stream.scenes.thresholds import (
    CalibratedKind,
    NormalScore,
    NormalStatistics,
    calibrate_kind,
    kinds_of,
    quantiles,
    read_normal_scores,
    save_calibration,
    with_thresholds,
)
from msflow_stream.scoring.engine_choice import images_of, make_inference
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import ScoreKind, UserError
from msflow_stream.video.sources import expand_sources, is_live, open_source

from .terminal.progress import progress
from .terminal.tables import diagnostics

SEED = 0  # of what is drawn for intervals and tests: the same scores give the same figures


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateJob:
    """The request to `calibrate`, apart from the scene.

    Attributes:
        rate: false alarms per hour that are wanted, at most, of each kind of score.
        normal: sources of normal footage; without any it is the scores that the fit kept.
        plot: PNG for the tails.
        gap: seconds; alarms that lie no further apart are one. The cool-down of events.
        engine: what runs the networks where there is normal footage, as for `score`; the scene's own if None.
        precision: the same, of their arithmetic.
    """

    rate: float
    normal: Sequence[str] = ()
    plot: Path | None = None
    gap: float = EventSettings().cool_down
    device: str = "auto"
    engine: EngineName | None = None
    precision: EnginePrecision | None = None
    image_rate: Fraction = Fraction(25)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The scene's new calibration, what it is made from, and what that means in plain words."""

    calibration: Calibration
    found: dict[ScoreKind, CalibratedKind]
    sentences: list[str]


def calibrate(folder: Path, job: CalibrateJob, console: Console | None = None) -> Calibrated:
    """Replaces the thresholds of the scene in `folder`, and prints how sure they are.

    Raises:
        UserError: no such scene, no normal scores, bad sources.
    """
    console = console or Console()
    if not (math.isfinite(job.rate) and job.rate > 0):
        raise UserError(f"false alarms per hour are a number above 0, not {job.rate}")
    if not job.normal and (job.engine or job.precision):
        raise UserError("--engine and --precision score normal footage: give it with --normal SOURCE")
    settings = stored_settings(read_record(folder))
    score, least = settings.score, settings.event.min_duration
    scores, before = _score(folder, job) if job.normal else _kept(folder)
    random = np.random.default_rng(SEED)
    found = {
        kind: calibrate_kind(scores, kind, job.rate, score.smoothing, least, job.gap, random)
        for kind in kinds_of(scores)
    }
    calibration = with_thresholds(before, found, _basis(scores, found, job, settings))
    if job.plot is not None:
        tail_plot(job.plot, f"scene {folder.name}", found, job.rate, random)
    save_calibration(folder, calibration)
    said = calibration_wording(calibration, found, score.kind, _seen(folder, job, scores))
    console.print(diagnostics(f"scene {folder.name}: thresholds for {job.rate:g} false alarms per hour", found))
    for line in said:
        console.print(f"- {line}", highlight=False, markup=False, soft_wrap=True)
    if job.plot is not None:
        console.print(f"the tails are drawn in {job.plot}", highlight=False, markup=False, soft_wrap=True)
    return Calibrated(calibration, found, said)


def _kept(folder: Path) -> tuple[list[NormalScore], Calibration]:
    """The scores that the fit kept, and the calibration whose other parts stay."""
    scores, calibration = read_normal_scores(folder), read_record(folder)["calibration"]
    if not scores or calibration is None:
        raise UserError(f"{folder} holds no normal scores: give normal footage with --normal SOURCE")
    before = Calibration.model_validate(calibration)
    fitted = read_record(folder)["fit"].get("held_out_frames") == 0
    return scores, before.model_copy(update={"frames": 0 if fitted else len(scores), "quantiles": quantiles(scores)})


def _score(folder: Path, job: CalibrateJob) -> tuple[list[NormalScore], Calibration]:
    """The scores of the footage that was given, and a calibration from it."""
    specs = expand_sources(job.normal)
    for spec in specs:
        if is_live(spec):
            raise UserError(f"{redact(spec)} is live and has no end: record it, and give the recordings")
    scene, normal = Scene.load(folder), NormalStatistics()
    own = scene.settings.engine
    engine = EngineSettings(name=job.engine or own.name, precision=job.precision or own.precision)
    scorer = Scorer(scene, job.device, inference=make_inference(engine, images_of(job.normal)))
    motion_every = None if scorer.scene.motion is None else scorer.settings.every
    with progress() as bars:
        task = bars.add_task(f"scoring {len(specs)} source{'s' * (len(specs) > 1)}", total=None)
        for spec in specs:
            with open_source(spec, scorer.settings.every, job.image_rate, motion_every=motion_every) as reader:
                for one in scorer(reader):
                    normal.add(NormalScore(one.source, one.index, one.time, one.scores), one.map)
                    bars.advance(task)
    if not normal.scores:
        raise UserError("the normal footage has no frames")
    return normal.scores, normal.calibration(*event_times(scorer.scene.settings))


def _basis(
    scores: Sequence[NormalScore], found: dict[ScoreKind, CalibratedKind], job: CalibrateJob, settings: Settings
) -> CalibrationBasis:
    hours = found["paper"].record.hours
    return CalibrationBasis(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        asked=job.rate,
        supported=supported_rate(hours) if hours else None,
        hours=hours,
        sources=dict(Counter(one.source for one in scores)),
        smoothing=settings.score.smoothing,
        min_duration=settings.event.min_duration,
        gap=job.gap,
    )


def _seen(folder: Path, job: CalibrateJob, scores: Sequence[NormalScore]) -> list[str]:
    """The sources that were given and have the names of some that the scene was fitted on."""
    fitted = read_record(folder)["fit"].get("sources", {}) if job.normal else {}
    return sorted({one.source for one in scores} & set(fitted))
