"""One source of `score`: its frames through the stream, into a folder that takes its name when it is complete."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.progress import Progress

from msflow_stream.config.cameras import Decode
from msflow_stream.config.settings import EventSettings, ScoreSettings
from msflow_stream.evaluation.clip_truth import ClipTruth
from msflow_stream.evaluation.metrics.frames import Frames
from msflow_stream.files import write_json
from msflow_stream.logs import redact
from msflow_stream.results.figures import timeline
from msflow_stream.results.overlay_file import PRESET
from msflow_stream.results.run_folder import RUN, SCORES, TIMELINE, versions
from msflow_stream.results.source_results import ScoreOutputs, SourceOutputs, SourceResult
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.card_frames import card_of
from msflow_stream.scoring.scorer import IN_FLIGHT, Scorer
from msflow_stream.scoring.static_gate import ReusingScorer, StaticGate
from msflow_stream.series import labelled_spans
from msflow_stream.stream.contract import Deliver, Limits
from msflow_stream.stream.runner import StreamRunner
from msflow_stream.stream.signals import stops_on_signals
from msflow_stream.types import Frame, FrameScore, UserError
from msflow_stream.video.motion import MOTION_SIZE
from msflow_stream.video.reading.image_folder import ImageFolderReader
from msflow_stream.video.reading.source_info import SourceInfo
from msflow_stream.video.sources import Reader, is_live, open_source, source_name
from msflow_stream.video.writing.encoders import ENCODERS, X264, EncoderChoice, Preset

log = logging.getLogger(__name__)

HELD_BYTES = 128 * 2**20  # of frames that wait, and of a batch: a 4K video makes smaller batches instead
MOST_BYTES = 4 * HELD_BYTES  # of a batch of frames with more bits, or more colour, than nearly all
FILL_SECONDS = 3600.0  # a file's batch is full, or its last: how fast it is read makes no difference to its scores
CODED, RGB = 1.5, 3.0  # bytes of a pixel, as most videos have them, and of an image
STOP_SECONDS = 10.0  # that what is on its way may take after Ctrl-C


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreJob:
    """The job of `score`, apart from the scene and the sources.

    Attributes:
        out: the run's folder; each source gets a sub-folder of its name.
        labels, masks: a .npy file, or a folder with one per source.
        frames: the frames that count for the AUROC.
        overlay: overlay.mp4 is written.
        save_maps: maps.safetensors is written.
        overwrite: results of an earlier run are replaced.
        max_frames, duration: frames or seconds after which each source is stopped.
        image_rate: frames per second of a folder of images.
        event: when an event begins and when it is over.
        evidence: a folder is written for every event, with a clip, an overlay and snapshots.
        store: address of a database for the events, None for none.
        skip_static: frames that show nothing new take the score of an earlier one.
        overlay_preset: how quickly the overlay is encoded.
        overlay_encoder: what encodes it.
        decode: what decodes the sources: cpu, cuda, or auto for cuda where the scene is on a GPU.
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
    evidence: bool = True
    store: str | None = None
    skip_static: bool = False
    overlay_preset: Preset = PRESET
    overlay_encoder: EncoderChoice = ENCODERS[X264]
    decode: Decode = "auto"


def score_source(
    spec: str, scorer: Scorer, job: ScoreJob, truth: ClipTruth | None, bars: Progress, origin: str | None = None
) -> SourceResult:
    """Scores one source into its folder, and returns its results.

    Args:
        spec: the source.
        scorer: scores its frames.
        job: the way it is done.
        truth: labels and masks.
        bars: shows how far it is.
        origin: where the source is for everybody, if `spec` is a copy.

    Raises:
        UserError: it cannot be read; what was scored until then is left in a folder named NAME.partial.
    """
    folder = job.out / source_name(spec)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    scored = scorer.settings.every
    every = 1 if job.overlay and not is_live(spec) else scored  # live frames come with a score or not
    motion_every = scored if scorer.scene.motion is not None else None
    try:
        with open_source(
            spec,
            every,
            job.image_rate,
            motion_every=motion_every,
            max_frames=job.max_frames,
            duration=job.duration,
            decode=job.decode,
            card=card_of(scorer.scene.device),
        ) as reader:
            result = _run(spec, reader, partial, scorer, job, truth, bars, origin)
    except BaseException:
        _clear_if_empty(partial)
        raise
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)
    return result


def _run(
    spec: str,
    reader: Reader,
    partial: Path,
    scorer: Scorer,
    job: ScoreJob,
    truth: ClipTruth | None,
    bars: Progress,
    origin: str | None,
) -> SourceResult:
    info = reader.info
    task = bars.add_task(info.name, total=_expected(reader, job))
    started = time.perf_counter()
    wanted = ScoreOutputs(
        overlay=job.overlay,
        maps=job.save_maps,
        evidence=job.evidence,
        preset=job.overlay_preset,
        encoder=job.overlay_encoder,
    )
    file = None if info.live else Path(spec)
    outputs = SourceOutputs(partial, file, info, scorer.settings, job.event, scorer.scene.calibration, wanted)
    delivered = 0

    def deliver(_: str, frame: Frame, score: FrameScore | None) -> None:
        nonlocal delivered
        outputs.write(frame, score)
        delivered = frame.index + 1
        if score is not None and truth is not None:
            truth.add(score)
        bars.update(task, completed=delivered)

    with outputs:
        interrupted = stream(reader, reader.info, scorer, job, deliver)
    bars.remove_task(task)
    if not outputs.rows:
        raise UserError(f"{info.name}: stopped before a frame was scored, nothing is written")
    result = SourceResult(
        folder=job.out / source_name(spec),
        rows=outputs.rows,
        frames=delivered if interrupted else reader.frames_read,
        rate=float(info.rate),
        damaged=reader.damaged,
        events=outputs.events,
        found=outputs.found,
        lost=outputs.lost,
        seconds=time.perf_counter() - started,  # never 0, as by a coarse clock
        interrupted=interrupted,
    )
    if result.lost:
        log.warning("%s: evidence is missing, or not whole (%s)", info.name, _counted(result.lost))
    _write_record(partial, origin or _origin(spec, reader), reader, scorer, job, outputs, result)
    _draw_timeline(partial, info.name, scorer, truth, result)
    return result


def _expected(reader: Reader, job: ScoreJob) -> int | None:
    """Returns how many frames there will be, as far as one can tell."""
    info = reader.info
    frames = info.frames
    if frames is None and info.duration is not None:
        frames = round(info.duration * info.rate)
    limits = [frames, job.max_frames, job.duration and round(job.duration * info.rate)]
    return min((limit for limit in limits if limit), default=None)


def frames_at_once(info: SourceInfo, settings: ScoreSettings, with_overlay: bool, pixel_bytes: float = CODED) -> int:
    """Returns how many frames of a file are scored at a time: as many as there is memory for, with those between."""
    frame = int(info.width * info.height * pixel_bytes)
    held = frame * (settings.every if with_overlay else 1) + MOTION_SIZE[0] * MOTION_SIZE[1]
    return max(1, min(settings.batch, HELD_BYTES // held))


def stream(frames: Iterable[Frame], info: SourceInfo, scorer: Scorer, job: ScoreJob, deliver: Deliver) -> bool:
    """Runs one source's frames through the stream; True if a signal ended it, after what was on its way is delivered.

    Raises:
        Exception: what the source failed with.
    """
    every, failures = scorer.settings.every, list[Exception | None]()
    if info.live:  # a camera's score is wanted now, a file's frames can wait for a full batch
        limits = Limits(batch=1)
    else:
        colours = RGB if isinstance(frames, ImageFolderReader) else CODED
        batch = frames_at_once(info, scorer.settings, job.overlay, colours)
        limits = Limits(
            batch=batch,
            batch_bytes=MOST_BYTES,
            wait=FILL_SECONDS,
            queue_frames=batch * every,
            queue_bytes=HELD_BYTES,
            scorers=IN_FLIGHT if scorer.overlaps and not job.skip_static else 1,
        )
    gate = StaticGate() if job.skip_static else None
    score = ReusingScorer(scorer.score, frame_of=lambda frame: frame, gate_of=lambda _: gate, key_of=lambda _: None)
    runner = StreamRunner(
        lambda batch: score([frame for _, frame in batch]),
        deliver,
        lambda _, error: failures.append(error),
        limits,
    )
    with stops_on_signals(runner, STOP_SECONDS) as stopping, runner:
        runner.add(info.name, frames, info.live, sampled=lambda frame: frame.index % every == 0)
    for error in failures:
        if error is not None:
            raise error
    return stopping.is_set()


def _origin(spec: str, reader: Reader) -> str:
    """Returns a source as run.json names it."""
    return redact(spec) if reader.info.live else str(Path(spec).resolve())


def _counted(lost: Mapping[str, int]) -> str:
    return ", ".join(f"{cause}: {count}" for cause, count in lost.items())


def _write_record(
    folder: Path,
    source: str,
    reader: Reader,
    scorer: Scorer,
    job: ScoreJob,
    outputs: SourceOutputs,
    result: SourceResult,
) -> None:
    """Writes run.json; no credentials are in it."""
    info = reader.info
    write_json(
        folder / RUN,
        {
            "source": source,
            "scene": scorer.scene.name,
            "settings": scorer.settings.model_dump(mode="json"),
            "event": job.event.model_dump(mode="json"),
            "triggers": {trigger.kind: trigger.threshold for trigger in outputs.triggers},
            "calibration": _basis(scorer.scene.calibration),
            "overlay": asdict(outputs.style),
            "size": [info.width, info.height],
            "rate": str(info.rate),
            "frames": result.frames,
            "scored_frames": len(result.rows),
            "reused_scores": result.reused,
            "damaged_packets": result.damaged,
            "events": len(result.events),
            "evidence_lost": dict(result.lost),
            "interrupted": result.interrupted,
            "seconds": round(result.seconds, 2),
            "frames_per_second": round(result.frames / result.seconds, 1),
            "device": str(scorer.scene.device),
            "decoder": reader.decoder,
            "versions": versions(),
        },
    )


def _basis(calibration: Calibration | None) -> dict[str, Any] | None:
    """Returns what the thresholds rest on, where they are for a number of false alarms."""
    if calibration is None or calibration.basis is None:
        return None
    rates = {kind: limit.rate for kind, limit in calibration.limits.items()}
    return {**calibration.basis.model_dump(mode="json", exclude={"sources"}), "false_alarms_per_hour": rates}


def _draw_timeline(folder: Path, name: str, scorer: Scorer, truth: ClipTruth | None, result: SourceResult) -> None:
    kind = scorer.settings.kind
    values = [row.scores.of(kind) for row in result.rows]
    spans = () if truth is None or truth.labels is None else labelled_spans(truth.labels, result.rate)
    timeline(folder / TIMELINE, f"{name} — scene {scorer.scene.name}", result.rows, values, kind, spans)


def _clear_if_empty(partial: Path) -> None:
    """Leaves nothing half-written; what was scored before an error stays, under its partial name."""
    scores = partial / SCORES
    if scores.exists() and scores.read_bytes().count(b"\n") > 1:
        log.warning("what was scored so far is in %s", partial)
    else:
        shutil.rmtree(partial, ignore_errors=True)
