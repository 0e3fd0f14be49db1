"""The job of `score`: sources are scored against a scene; overlay, scores, timeline and events are written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from rich.console import Console

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.evaluation.clip_truth import ClipTruth, Evaluation, find_truth
from msflow_stream.evaluation.event_quality import EventQuality
from msflow_stream.events.detection.triggers import triggers_of
from msflow_stream.events.store.run_events import RunEvents
from msflow_stream.logs import redact
from msflow_stream.results.source_results import SourceResult
from msflow_stream.results.wording import trigger_wording
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.scorer import Scorer, check_kind
from msflow_stream.types import UserError
from msflow_stream.video.sources import expand_sources, is_live, open_source, source_name

from .score_source import ScoreJob, score_source
from .terminal.consoles import summary_console
from .terminal.progress import progress, table
from .terminal.tables import print_evaluation


def score(
    sources: Sequence[str], scorer: Scorer, job: ScoreJob, console: Console | None = None
) -> tuple[list[SourceResult], Evaluation | None]:
    """Scores every source in turn and prints tables: what was written and, with labels or masks, how right it is.

    Ctrl-C ends the source at hand properly and leaves out those after it.

    Raises:
        UserError: bad sources, labels that do not fit, an existing output folder, a store that takes nothing, a kind of
            score that the scene does not have.
    """
    console = console or summary_console()
    check_kind(scorer.scene, scorer.settings)
    specs = expand_sources(sources)
    truths = {spec: _check(spec, job, alone=len(specs) == 1) for spec in specs}
    evaluation = new_evaluation(scorer.scene, scorer.settings, job) if job.labels or job.masks else None
    results: list[SourceResult] = []
    with nullcontext() if job.store is None else RunEvents(job.store) as stored:
        with progress() as bars:
            for spec in specs:
                truth = truths[spec]
                results.append(score_source(spec, scorer, job, truth, bars))
                if evaluation is not None and truth is not None:
                    evaluation.add(source_name(spec), truth, results[-1])
                if stored is not None:
                    stored.add(results[-1].events)
                if results[-1].interrupted:
                    console.print(f"stopped in source {len(results)} of {len(specs)}; what was scored is written")
                    break
        print_results(console, results)
        if evaluation is not None:
            print_evaluation(console, evaluation)
            evaluation.save(job.out)
        if stored is not None:
            stored.finish()
    return results, evaluation


def _check(spec: str, job: ScoreJob, alone: bool) -> ClipTruth | None:
    """Finds what is wrong with a source, its labels and its folder before anything is scored."""
    folder = job.out / source_name(spec)
    if folder.exists() and not job.overwrite:
        raise UserError(f"{folder} exists already: choose another --out or give --overwrite")
    if is_live(spec):
        if job.labels or job.masks:
            raise UserError(f"{redact(spec)} is live: labels and masks belong to files")
        return None
    with open_source(spec, image_rate=job.image_rate, motion_every=None) as reader:
        frames = reader.info.frames
    return find_truth(spec, source_name(spec), frames, job.labels, job.masks, alone)


def new_evaluation(scene: Scene, settings: ScoreSettings, job: ScoreJob) -> Evaluation:
    """Returns an evaluation without clips as yet."""
    thresholds = trigger_wording(triggers_of(job.event, settings, scene.calibration), settings, scene.calibration)
    return Evaluation(job.frames, settings.smoothing, EventQuality(f"scene {scene.name}: {thresholds}"))


def print_results(console: Console, results: Sequence[SourceResult], out: object = None) -> None:
    """Prints a table of what was written, into `out` if that is not where it was written."""
    reused = any(result.reused for result in results)
    rows = [
        [
            result.folder.name,
            str(result.frames),
            str(len(result.rows)),
            *([str(result.reused)] if reused else []),
            str(len(result.events)),
            str(result.damaged),
            f"{result.frames / result.seconds:.1f}",
        ]
        for result in results
    ]
    title = f"in {out or results[0].folder.parent}"
    scored = ["scored", "of them reused"] if reused else ["scored"]
    console.print(table(title, ["source", "frames", *scored, "events", "damaged packets", "frames/s"], rows))
