"""`calibrate`: thresholds of a scene for a wanted number of false alarms per hour, from scores of normal footage."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from torch import Tensor

from msflow_stream.config.engines import EngineName, EnginePrecision
from msflow_stream.config.settings import EngineSettings, Settings
from msflow_stream.logs import redact
from msflow_stream.results.figures import tail_plot
from msflow_stream.results.wording import calibration_wording
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.folder import RECORD, read_record, stored_settings
from msflow_stream.scenes.recalibration import GAP, SEED, kept_scores, recalibrated
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.thresholds import (
    CalibratedKind,
    NormalScore,
    NormalStatistics,
    event_times,
    save_calibration,
)
from msflow_stream.scoring.engine_choice import images_of, make_inference
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import ScoreKind, UserError
from msflow_stream.video.sources import is_live, open_source

from .normal_kept import keep_normal, kept_file, kept_folder, kept_normal
from .storage.copies import local_copy
from .storage.places import place
from .storage.sources import expanded, local_sources
from .storage.urls import Spec, absolute, is_url, last_part, located, parent
from .terminal.consoles import summary_console, trouble_console
from .terminal.progress import progress
from .terminal.tables import diagnostics
from .units import Failed, Here, Unit, UnitRunner, Warm


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
    gap: float = GAP
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


def calibrate(
    scene: Spec, job: CalibrateJob, console: Console | None = None, runner: UnitRunner | None = None
) -> Calibrated:
    """Replaces a scene's thresholds, and prints how sure they are.

    Args:
        scene: its folder, or the URL of one.
        job: the footage, and the alarms that are wanted.
        console: for results.
        runner: where sources are scored; here if None, one after another.

    Raises:
        UserError: no such scene, no normal scores, bad sources.
    """
    console, runner = console or summary_console(), runner or Here()
    if not (math.isfinite(job.rate) and job.rate > 0):
        raise UserError(f"false alarms per hour are a number above 0, not {job.rate}")
    if not job.normal and (job.engine or job.precision):
        raise UserError("--engine and --precision score normal footage: give it with --normal SOURCE")
    at, name = place(parent(scene)), last_part(str(scene))
    at.fetch(name, RECORD)
    folder = at.folder / name
    settings = stored_settings(read_record(folder))
    scores, before = _score(scene, job, settings, console, runner) if job.normal else kept_scores(folder)
    made = recalibrated(scores, before, job.rate, settings, job.gap)
    calibration, found = made.calibration, made.found
    if job.plot is not None:
        tail_plot(job.plot, f"scene {name}", found, job.rate, np.random.default_rng(SEED))
    save_calibration(folder, calibration)
    at.publish(name, RECORD)
    said = calibration_wording(calibration, found, settings.score.kind, _seen(folder, job, scores))
    console.print(diagnostics(f"scene {name}: thresholds for {job.rate:g} false alarms per hour", found))
    for line in said:
        console.print(f"- {line}", highlight=False, markup=False, soft_wrap=True)
    if job.plot is not None:
        console.print(f"the tails are drawn in {job.plot}", highlight=False, markup=False, soft_wrap=True)
    return Calibrated(calibration, found, said)


def _score(
    scene: Spec, job: CalibrateJob, settings: Settings, console: Console, runner: UnitRunner
) -> tuple[list[NormalScore], Calibration]:
    """The scores of the footage that was given, and a calibration from it."""
    specs = expanded(job.normal)
    for spec in specs:
        if not is_url(spec) and is_live(spec):
            raise UserError(f"{redact(spec)} is live and has no end: record it, and give the recordings")
    if isinstance(runner, Here):
        found = _score_here(scene, specs, job, runner)
    else:
        found = _score_on(runner, absolute(scene), [str(absolute(located(one))) for one in specs], job, console)
    scores = [score for normal in found for score in normal.scores]
    if not scores:
        raise UserError("the normal footage has no frames")
    whole = NormalStatistics(scores, [peak for normal in found for peak in normal.peaks])
    return scores, whole.calibration(*event_times(settings))


def _score_here(scene: Spec, specs: Sequence[str], job: CalibrateJob, runner: Here) -> list[NormalStatistics]:
    """The scores of each source; one that fails ends the job."""
    found: list[NormalStatistics] = []

    def note(unit: Unit, normal: NormalStatistics | Failed) -> None:
        if isinstance(normal, Failed):
            raise normal.error or UserError(normal.text)
        found.append(normal)

    warm = Warm(warm_scorer, (scene, job.device, job.engine, job.precision, specs))
    with progress() as bars:
        advance = partial(
            bars.advance, bars.add_task(f"scoring {len(specs)} source{'s' * (len(specs) > 1)}", total=None)
        )
        runner.run([Unit(spec, score_normal, (spec, job.image_rate, advance), warm=warm) for spec in specs], note)
    return found


def _score_on(
    runner: UnitRunner, scene: Spec, specs: Sequence[str], job: CalibrateJob, console: Console
) -> list[NormalStatistics]:
    """The scores of each source, from a cluster; those that are done are kept for the same command again.

    Raises:
        UserError: sources that failed; thresholds from a part of the footage are not those that were asked for.
    """
    found: dict[str, NormalStatistics] = {}

    def note(unit: Unit, normal: NormalStatistics | Failed) -> None:
        if isinstance(normal, Failed):
            trouble_console(console).print(f"[red]{unit.key} failed:[/] {normal.text}", highlight=False)
        else:
            found[unit.key] = normal

    share = runner.share(job.device)
    warm = Warm(warm_scorer, (scene, share.device, job.engine, job.precision, specs))
    facts = f"{share.device}, {job.engine}, {job.precision}, {job.image_rate}"
    args = (job.image_rate, scene, facts)
    units = [Unit(spec, score_and_keep, (spec, *args), share.cpus, share.gpus, warm) for spec in specs]
    runner.run(units, note, "scoring normal footage")
    if len(found) < len(specs):
        raise UserError(f"{len(specs) - len(found)} of {len(specs)} sources failed, the thresholds stay as they are")
    if isinstance(scene, Path):
        shutil.rmtree(kept_folder(scene), ignore_errors=True)
    return [found[spec] for spec in specs]


def warm_scorer(
    scene: Spec,
    device: str,
    engine: EngineName | None,
    precision: EnginePrecision | None,
    normal: Sequence[str],
) -> Scorer:
    """Returns what scores normal footage; `normal` is all of it, for an engine that wants to see some first."""

    def images(loaded: Scene) -> Sequence[Tensor]:
        with local_sources(normal) as specs:
            return images_of(specs)(loaded)

    at, name = place(parent(scene)), last_part(str(scene))
    at.fetch(name, RECORD)
    loaded = Scene.load(at.folder / name)
    own = loaded.settings.engine
    chosen = EngineSettings(name=engine or own.name, precision=precision or own.precision)
    return Scorer(loaded, device, inference=make_inference(chosen, images))


def score_normal(
    scorer: Scorer, spec: str, image_rate: Fraction, advance: Callable[[], None] = lambda: None
) -> NormalStatistics:
    """Returns the scores of a source of normal footage; `advance` is called after each frame."""
    normal = NormalStatistics()
    motion_every = None if scorer.scene.motion is None else scorer.settings.every
    with (
        local_copy(located(spec)) as path,
        open_source(str(path), scorer.settings.every, image_rate, motion_every=motion_every) as reader,
    ):
        for one in scorer(reader):
            normal.add(NormalScore(one.source, one.index, one.time, one.scores), one.map)
            advance()
    return normal


def score_and_keep(scorer: Scorer, spec: str, image_rate: Fraction, scene: Spec, facts: str) -> NormalStatistics:
    """Returns the scores of a source, and keeps them beside the scene's folder for the same command again."""
    if is_url(scene) or is_url(spec):
        return score_normal(scorer, spec, image_rate)
    path = kept_file(Path(scene), Path(spec), (facts,))
    normal = kept_normal(path)
    if normal is None:
        normal = score_normal(scorer, spec, image_rate)
        keep_normal(path, normal)
    return normal


def _seen(folder: Path, job: CalibrateJob, scores: Sequence[NormalScore]) -> list[str]:
    """The sources that were given and have the names of some that the scene was fitted on."""
    fitted = read_record(folder)["fit"].get("sources", {}) if job.normal else {}
    return sorted({one.source for one in scores} & set(fitted))
