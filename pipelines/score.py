"""`score`: sources are scored against a scene; overlay, scores, timeline and events are written for each."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from msflow_stream.config import EventSettings
from msflow_stream.metrics.video import Frames
from msflow_stream.report import labelled_spans, timeline
from msflow_stream.results import RUN, TIMELINE, ScoreRow, write_json
from msflow_stream.scorer import Scorer
from msflow_stream.stream.contract import Deliver, Limits
from msflow_stream.stream.engine import Engine
from msflow_stream.stream.signals import stopped_by_signals
from msflow_stream.types import SCORE_FIELDS, Frame, FrameScore, UserError
from msflow_stream.video.redact import redact
from msflow_stream.video.sources import Reader, expand_sources, is_live, open_source, source_name
from pipelines.fit import versions
from pipelines.measure import ClipTruth, Evaluation, find_truth
from pipelines.outputs import SourceOutputs
from pipelines.terminal import progress, table

log = logging.getLogger(__name__)

HELD_BYTES = 128 * 2**20  # of pictures that wait, and of a batch: a 4K video makes smaller batches instead
FILL_SECONDS = 0.5  # a file's batch waits for so long until it is full
STOP_SECONDS = 10.0  # that what is on its way may take after Ctrl-C


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """What `score` is asked for, apart from the scene and the sources.

    Attributes:
        out: the run's folder; each source gets a sub-folder of its name.
        labels, masks: a .npy file, or a folder with one per source.
        frames: which frames count for the AUROC.
        max_frames, duration: stop each source after so many frames or seconds.
        event: when an event begins and when it is over.
    """

    out: Path
    labels: Path | None = None
    masks: Path | None = None
    frames: Frames = "sampled"
    overlay: bool = True
    save_maps: bool = False
    overwrite: bool = False
    max_frames: int | None = None
    duration: float | None = None
    image_rate: Fraction = Fraction(25)
    event: EventSettings = field(default_factory=EventSettings)


@dataclass(frozen=True, slots=True)
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
    sources: Sequence[str], scorer: Scorer, job: ScoreJob, console: Console | None = None
) -> tuple[list[Scored], Evaluation | None]:
    """Scores every source in turn and prints tables: what was written and, with labels or masks, the AUROC.

    Ctrl-C ends the source at hand properly and leaves out those after it.

    Raises:
        UserError: bad sources, labels that do not fit, an existing output folder.
    """
    console = console or Console()
    specs = expand_sources(sources)
    truths = {spec: _check(spec, job, alone=len(specs) == 1) for spec in specs}
    evaluation = Evaluation(job.frames, scorer.settings.smoothing) if job.labels or job.masks else None
    results: list[Scored] = []
    with progress() as bars:
        for spec in specs:
            truth = truths[spec]
            results.append(_score_source(spec, scorer, job, truth, bars))
            if evaluation is not None and truth is not None:
                evaluation.add(source_name(spec), truth, results[-1].rows, results[-1].frames)
            if results[-1].interrupted:
                console.print(f"stopped in source {len(results)} of {len(specs)}; what was scored is written")
                break
    _print(console, results)
    if evaluation is not None:
        evaluation.print(console)
        evaluation.save(job.out)
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
    with open_source(spec, image_rate=job.image_rate) as reader:
        frames = reader.info.frames
    return find_truth(spec, source_name(spec), frames, job.labels, job.masks, alone)


def _score_source(spec: str, scorer: Scorer, job: ScoreJob, truth: ClipTruth | None, bars: Progress) -> Scored:
    """Scores one source into a folder that takes its name when it is complete."""
    folder = job.out / source_name(spec)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    every = 1 if job.overlay and not is_live(spec) else scorer.settings.every  # live frames come with a score or not
    try:
        with open_source(spec, every, job.image_rate, max_frames=job.max_frames, duration=job.duration) as reader:
            result = _run(spec, reader, partial, scorer, job, truth, bars)
    except BaseException:
        _clear_if_empty(partial)
        raise
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)
    return result


def _run(
    spec: str, reader: Reader, partial: Path, scorer: Scorer, job: ScoreJob, truth: ClipTruth | None, bars: Progress
) -> Scored:
    settings, info = scorer.settings, reader.info
    sound = Path(spec) if info.has_audio and not info.live else None
    task = bars.add_task(info.name, total=_expected(reader, job))
    started = time.monotonic()
    outputs = SourceOutputs(
        partial, info, settings, job.event, scorer.scene.calibration, job.overlay, sound, job.save_maps
    )

    delivered = 0

    def deliver(_: str, frame: Frame, score: FrameScore | None) -> None:
        nonlocal delivered
        outputs.take(frame, score)
        delivered = frame.index + 1
        if score is not None and truth is not None:
            truth.see(score)
        bars.update(task, completed=delivered)

    with outputs:
        interrupted = _stream(reader, scorer, deliver)
    bars.remove_task(task)
    if not outputs.rows:
        raise UserError(f"{info.name}: stopped before a frame was scored, nothing is written")
    seconds = time.monotonic() - started
    result = Scored(
        job.out / source_name(spec),
        outputs.rows,
        delivered if interrupted else reader.frames_read,
        reader.damaged,
        len(outputs.events),
        seconds,
        interrupted,
    )
    _write_record(partial, spec, reader, scorer, outputs, result)
    values = [getattr(row, SCORE_FIELDS[settings.kind]) for row in outputs.rows]
    spans = labelled_spans(truth.labels, float(info.rate)) if truth is not None and truth.labels is not None else ()
    timeline(partial / TIMELINE, f"{info.name} — scene {scorer.scene.name}", outputs.rows, values, settings.kind, spans)
    return result


def _stream(reader: Reader, scorer: Scorer, deliver: Deliver) -> bool:
    """Runs one source through the engine; True if a signal ended it, after what was on its way is delivered.

    Raises:
        Exception: what the source failed with.
    """
    every, failures = scorer.settings.every, list[Exception | None]()
    limits = Limits(scorer.settings.batch, HELD_BYTES, FILL_SECONDS, scorer.settings.batch * every, HELD_BYTES)
    if reader.info.live:  # a camera's score is wanted now, a file's frames can wait for a full batch
        limits = Limits(batch=1)
    engine = Engine(
        lambda batch: scorer.score([frame for _, frame in batch]),
        deliver,
        lambda _, error: failures.append(error),
        limits,
    )
    with stopped_by_signals(engine, STOP_SECONDS) as told, engine:
        engine.add(reader.info.name, reader, reader.info.live, sampled=lambda frame: frame.index % every == 0)
    for error in failures:
        if error is not None:
            raise error
    return told.is_set()


def _expected(reader: Reader, job: ScoreJob) -> int | None:
    """How many frames there will be, as far as one can tell."""
    info = reader.info
    frames = info.frames
    if frames is None and info.duration is not None:
        frames = round(info.duration * info.rate)
    limits = [frames, job.max_frames, job.duration and round(job.duration * info.rate)]
    return min((limit for limit in limits if limit), default=None)


def _write_record(
    folder: Path, spec: str, reader: Reader, scorer: Scorer, outputs: SourceOutputs, result: Scored
) -> None:
    info = reader.info
    write_json(
        folder / RUN,
        {
            "source": redact(spec) if info.live else str(Path(spec).resolve()),
            "scene": scorer.scene.name,
            "settings": scorer.settings.model_dump(mode="json"),
            "overlay": asdict(outputs.style),
            "size": [info.width, info.height],
            "rate": str(info.rate),
            "frames": result.frames,
            "scored_frames": len(result.rows),
            "damaged_packets": result.damaged,
            "interrupted": result.interrupted,
            "seconds": round(result.seconds, 2),
            "frames_per_second": round(result.frames / result.seconds, 1),
            "device": str(scorer.scene.device),
            "versions": versions(),
        },
    )


def _clear_if_empty(partial: Path) -> None:
    """Leaves nothing half-written; what was scored before an error stays, under its partial name."""
    scores = partial / "scores.csv"
    if scores.exists() and scores.read_bytes().count(b"\n") > 1:
        log.warning("what was scored so far is in %s", partial)
    else:
        shutil.rmtree(partial, ignore_errors=True)


def _print(console: Console, results: Sequence[Scored]) -> None:
    rows = [
        [
            result.folder.name,
            str(result.frames),
            str(len(result.rows)),
            str(result.events),
            str(result.damaged),
            f"{result.frames / result.seconds:.1f}",
        ]
        for result in results
    ]
    title = f"in {results[0].folder.parent}"
    console.print(table(title, ["source", "frames", "scored", "events", "damaged packets", "frames/s"], rows))
