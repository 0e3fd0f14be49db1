"""`bench pipeline`: `score` from end to end beside its stages, each measured alone in the same rounds."""

from __future__ import annotations

import io
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from msflow_stream.config.loading import override
from msflow_stream.cores import usable_cores
from msflow_stream.files import write_json
from msflow_stream.machine import choose_device
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_choice import make_inference
from msflow_stream.scoring.scorer import Scorer

from ..score import score
from ..score_source import ScoreJob
from ..terminal.progress import print_markdown
from .machine import Spent, in_turn, machine_facts, machine_line, median, peak_memory
from .stages import (
    DRAWING_IMAGES,
    ENCODING_IMAGES,
    WHOLE_IMAGES,
    StageFootage,
    StageTimings,
    footage_folder,
    read_footage,
    synthetic_video,
)

MEBI = 2**20
END_TO_END, WHOLE_END_TO_END = "end to end", "end to end, by whole images"
REFERENCES = (WHOLE_IMAGES, DRAWING_IMAGES, ENCODING_IMAGES, WHOLE_END_TO_END)
COLUMNS = ["", "ms/frame", "frames/s", "core-ms/frame", "share of core time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineJob:
    """The request to `bench pipeline`.

    Attributes:
        video: a file; None: synthetic footage of `height`.
        seconds: of the video at most.
        overlays: without an overlay, with one, or both.
        repeats: rounds that count.
    """

    video: Path | None = None
    height: int = 1080
    seconds: float = 20.0
    overlays: Sequence[bool] = (False, True)
    repeats: int = 3
    device: str = "auto"
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage alone, per frame of the video (whether or not it has to do with every frame).

    Attributes:
        core_ms_per_frame: of all cores together.
        share: of the core time of all stages.
    """

    stage: str
    ms_per_frame: float
    frames_per_s: float
    core_ms_per_frame: float
    share: float


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """The stages and the whole, with or without an overlay.

    Attributes:
        limit_frames_per_s: of the slowest stage alone.
        cores_limit_frames_per_s: of all cores, if they did nothing but what the stages do.
        efficiency: end to end, as a share of the slowest stage's limit.
        possible_fraction: end to end, as a share of the lower one of both limits.
        peak_bytes: of a process that does nothing else.
        references: the same by another way, beside the stages.
    """

    overlay: bool
    frames: int
    stages: Sequence[StageRow]
    references: Sequence[StageRow]
    slowest: str
    limit_frames_per_s: float
    cores_limit_frames_per_s: float
    end_to_end_frames_per_s: float
    end_to_end_core_ms_per_frame: float
    efficiency: float
    possible_fraction: float
    peak_bytes: int


def bench_pipeline(scene: Scene, job: PipelineJob) -> list[PipelineRow]:
    """Times `score` and its stages in turn, prints a table with and one without overlay, and writes JSON.

    Raises:
        UserError: a video that cannot be read.
    """
    video = job.video or synthetic_video(job.height, job.seconds, footage_folder())
    facts = machine_facts(choose_device(job.device))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        scorer = Scorer(scene, job.device, inference=make_inference(scene.settings.engine))
        footage = read_footage(video, job.seconds, scorer)
        scene.save(Path(name) / "scene")
        replace(scene, settings=override(scene.settings, ["input.resize=lanczos"])).save(Path(name) / "whole")
        rows = [_row(scorer, footage, overlay, job, Path(name)) for overlay in job.overlays]
    for row in rows:
        _print(row, footage, scorer, job, facts)
    if job.out is not None:
        height, width = footage.shown[0].shape[:2]
        about = {
            "video": video.name,
            "width": width,
            "height": height,
            "settings": scene.settings.model_dump(mode="json"),
        }
        write_json(job.out, {"machine": facts, **about, "rows": [asdict(row) for row in rows]})
    return rows


def _row(scorer: Scorer, footage: StageFootage, overlay: bool, job: PipelineJob, folder: Path) -> PipelineRow:
    peaks: list[int] = []
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # a process of its own has its own peak

        def end_to_end() -> Spent:
            taken, peak = pool.apply(_score_video, (footage.video, folder / "scene", overlay, job))
            peaks.append(peak)
            return taken

        def by_whole_images() -> Spent:
            return pool.apply(_score_video, (footage.video, folder / "whole", overlay, job))[0]

        measurements: dict[str, Callable[[], Spent]] = {**StageTimings(footage, scorer, overlay, folder).measurements}
        measurements |= {END_TO_END: end_to_end, WHOLE_END_TO_END: by_whole_images}
        taken = in_turn(measurements, job.repeats, "with overlay" if overlay else "without overlay")
    seconds = {name: median(values) for name, values in taken.items()}
    return summary(seconds, footage.frames, overlay, max(peaks))


def summary(seconds: Mapping[str, Spent], frames: int, overlay: bool, peak: int) -> PipelineRow:
    """Returns what follows from the seconds that each stage and the whole took for a number of frames."""
    alone = {name: one for name, one in seconds.items() if name not in (END_TO_END, *REFERENCES)}
    slowest = max(alone, key=lambda name: alone[name].wall)
    cpu = sum(one.cpu for one in alone.values())

    def row(name: str) -> StageRow:
        one = seconds[name]
        return StageRow(name, 1000 * one.wall / frames, frames / one.wall, 1000 * one.cpu / frames, one.cpu / cpu)

    whole = seconds[END_TO_END]
    possible = max(alone[slowest].wall, cpu / usable_cores())
    return PipelineRow(
        overlay=overlay,
        frames=frames,
        stages=[row(name) for name in alone],
        references=[row(name) for name in seconds if name in REFERENCES],
        slowest=slowest,
        limit_frames_per_s=frames / alone[slowest].wall,
        cores_limit_frames_per_s=frames * usable_cores() / cpu,
        end_to_end_frames_per_s=frames / whole.wall,
        end_to_end_core_ms_per_frame=1000 * whole.cpu / frames,
        efficiency=alone[slowest].wall / whole.wall,
        possible_fraction=possible / whole.wall,
        peak_bytes=peak,
    )


def _score_video(video: Path, folder: Path, overlay: bool, job: PipelineJob) -> tuple[Spent, int]:
    """Runs `score` in this process: the seconds that it says, those of its cores, and its peak of memory so far."""
    scene = Scene.load(folder)
    scorer = Scorer(scene, job.device, inference=make_inference(scene.settings.engine))
    task = ScoreJob(out=folder.with_name("run"), overlay=overlay, overwrite=True, duration=job.seconds, evidence=False)
    cpu = time.process_time()
    with redirect_stderr(io.StringIO()):  # where its progress bar would disturb ours
        results, _ = score([str(video)], scorer, task, Console(file=io.StringIO()))
    return Spent(results[0].seconds, time.process_time() - cpu), peak_memory()


def _print(row: PipelineRow, footage: StageFootage, scorer: Scorer, job: PipelineJob, facts: dict[str, Any]) -> None:
    cells = [
        [f"{one.stage} alone", *_figures(one.ms_per_frame, one.core_ms_per_frame), f"{100 * one.share:.0f} %"]
        for one in row.stages
    ]
    cells.append([END_TO_END, *_figures(1000 / row.end_to_end_frames_per_s, row.end_to_end_core_ms_per_frame), "–"])
    cells += [[one.stage, *_figures(one.ms_per_frame, one.core_ms_per_frame), "–"] for one in row.references]
    height, width = footage.shown[0].shape[:2]
    model, every = scorer.scene.settings, scorer.settings.every
    notes = [
        f"**Efficiency {row.efficiency:.2f}**: end to end {row.end_to_end_frames_per_s:.1f} frames/s, slowest stage "
        f"alone ({row.slowest}) {row.limit_frames_per_s:.1f}. Stages share the cores: if those did nothing else, "
        f"{row.cores_limit_frames_per_s:.1f} frames/s; {row.possible_fraction:.2f} of the lower limit is reached. Peak "
        f"memory {row.peak_bytes / MEBI:.0f} MiB.",
        f"{machine_line(facts)}. {model.model.backbone} at {model.input.size[0]}x{model.input.size[1]}, every "
        f"{every}. of {row.frames} frames is scored; all times are per frame of the video, medians of {job.repeats} "
        "rounds in turn.",
    ]
    print_markdown(f"{width}x{height}, {'with' if row.overlay else 'without'} overlay", COLUMNS, cells, notes)


def _figures(wall: float, cpu: float) -> list[str]:
    return [f"{wall:.2f}", f"{1000 / wall:.1f}", f"{cpu:.2f}"]
