"""`bench scale`: one process with one camera and with many, over one scene and over many."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from msflow_stream.config.loading import override
from msflow_stream.config.settings import EngineSettings, Settings
from msflow_stream.files import write_json
from msflow_stream.machine import choose_device, settle_memory
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.engine_choice import make_inference
from msflow_stream.types import UserError

from ..terminal.progress import number, print_markdown
from .machine import Spent, in_turn, machine_facts, machine_line, resident_memory
from .memory_cameras import Live, MemoryCameras

MEBI = 2**20
# What one more scene takes, from mobilenetv2_100, resnet18 and wide_resnet50_2 with OpenVINO in float32: its modules, a
# network made of them with its weights in the order in which the CPU reads them, and room for what that computes.
TIMES_ITS_WEIGHTS, BESIDE = 2.7, 20 * MEBI
COLUMNS = [
    *("cameras", "scenes", "ms/frame", "core-ms/frame", "frames/s", "to one scene", "by core-ms"),
    *("live: offered/s", "delivered/s", "dropped"),
]
LATENCIES = {"p50": 50, "p95": 95, "p99": 99}
WORST = ["slowest camera", "most behind live", "all within 1 s"]
BEHIND = 1.0  # seconds: so far behind live a camera may be
WARM_UP = 2.0  # seconds of live cameras before those that count, on a GPU: batches of all sizes are recorded then


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleJob:
    """The request to `bench scale`.

    Attributes:
        cameras, scenes: how many of each, in all combinations with no more scenes than cameras.
        frames: of all cameras together, as fast as they can be scored.
        repeats: rounds that count, of all combinations in turn.
        rate: frames a second that each live camera offers.
        seconds: of live cameras.
        batch: frames scored at once, at most.
        scene_bytes: of weights of scenes that are ready to score; None: no end to it.
    """

    cameras: Sequence[int] = (1, 4, 13, 64)
    scenes: Sequence[int] = (1, 13, 64)
    frames: int = 128
    repeats: int = 5
    rate: float = 5.0
    seconds: float = 5.0
    batch: int = 8
    device: str = "auto"
    out: Path | None = None
    scene_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ScaleRow:
    """The figures of a number of cameras over a number of scenes.

    Attributes:
        ms_per_frame, frames_per_s: as fast as can be, with frames that wait.
        core_ms_per_frame: of all cores together.
        ratio_to_one_scene: of the time per frame, to as many cameras over one scene; None where that was not measured.
        core_ratio_to_one_scene: of the time of all cores.
        live_offered_per_s, live_delivered_per_s: frames of cameras that show them at fixed times.
        live_dropped: the share of those whose place a newer one took before they were scored.
        latency_ms: from a live frame's arrival to the delivery of its score, by percentile.
        slowest_camera_per_s: scored frames a second of the live camera that got the fewest.
        behind_s: by live camera, how far behind live its latest score was: from when that frame was due.
        keeps_up: whether every camera got all scores, each within BEHIND.
    """

    cameras: int
    scenes: int
    ms_per_frame: float
    core_ms_per_frame: float
    frames_per_s: float
    ratio_to_one_scene: float | None
    core_ratio_to_one_scene: float | None
    live_offered_per_s: float
    live_delivered_per_s: float
    live_dropped: float
    latency_ms: Mapping[str, float]
    slowest_camera_per_s: float
    behind_s: Mapping[str, float]
    keeps_up: bool


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """A process of its own with so many scenes, each of which has scored a batch.

    Attributes:
        weights_bytes: of all scenes, what they share counted once (`SceneCache.nbytes`).
        resident_bytes: of the process.
        gpu_bytes: of a GPU's memory, what torch holds for the process; None on the CPU.
        added_bytes, predicted_bytes: what the scenes after the first took, and what their number and weights let one
            expect.
    """

    scenes: int
    weights_bytes: int
    resident_bytes: int
    added_bytes: int
    predicted_bytes: int
    gpu_bytes: int | None


def bench_scale(settings: Settings, job: ScaleJob) -> tuple[list[ScaleRow], list[MemoryRow]]:
    """Measures all combinations, prints two tables, and writes JSON.

    Raises:
        UserError: more scenes than cameras.
    """
    if min(*job.cameras, *job.scenes) < 1:
        raise UserError("--cameras and --scenes take numbers from 1 on, such as 1,4,16")
    cases = [(c, s) for c in job.cameras for s in job.scenes if s <= c]
    if max(job.scenes) > max(job.cameras):
        raise UserError(
            f"{max(job.scenes)} scenes need as many cameras: give --cameras {max(job.scenes)} or fewer scenes"
        )
    device = choose_device(job.device)
    facts = machine_facts(device)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        names = _save_scenes(Path(name), settings, max(job.scenes))
        memory = [_memory_row(Path(name), names[:count], settings.engine, job) for count in sorted(set(job.scenes))]
        inference = make_inference(settings.engine, capacity_bytes=job.scene_bytes)
        cache = SceneCache(Path(name), job.device, inference.prepare)
        cameras = {(c, s): MemoryCameras(cache, names[:s], c, job.batch, inference) for c, s in cases}
        taken = in_turn(
            {case: partial(one.all_at_once, job.frames) for case, one in cameras.items()}, job.repeats, "at once"
        )
        live = {case: _live(one, job, device) for case, one in cameras.items()}
    each = {case: _per_frame(values, job.frames) for case, values in taken.items()}
    rows = [_row(case, each, live[case], job.rate) for case in cases]
    _print(rows, memory, settings, job, facts)
    if job.out is not None:
        figures = {"rows": [asdict(row) for row in rows], "memory": [asdict(row) for row in memory]}
        write_json(job.out, {"machine": facts, "settings": settings.model_dump(mode="json"), **figures})
    return rows, memory


def _save_scenes(folder: Path, settings: Settings, count: int) -> list[str]:
    """Scenes of one pyramid with flows of their own; returns their names."""
    pyramid, names = Scene.new("first", settings).pyramid, [f"scene{i + 1:02d}" for i in range(count)]
    for seed, name in enumerate(names):
        Scene.new(name, override(settings, [f"fit.seed={seed}"]), pyramid).save(folder / name)
    return names


def _per_frame(rounds: Sequence[Spent], frames: int) -> Spent:
    return Spent(
        *(statistics.median(values) / frames for values in zip(*((r.wall, r.cpu) for r in rounds), strict=True))
    )


def _live(cameras: MemoryCameras, job: ScaleJob, device: torch.device) -> Live:
    if device.type == "cuda":
        cameras.live(job.rate, WARM_UP)
    return cameras.live(job.rate, job.seconds)


def _row(case: tuple[int, int], each: Mapping[tuple[int, int], Spent], live: Live, rate: float) -> ScaleRow:
    own, one_scene = each[case], each.get((case[0], 1))
    return ScaleRow(
        cameras=case[0],
        scenes=case[1],
        ms_per_frame=1000 * own.wall,
        core_ms_per_frame=1000 * own.cpu,
        frames_per_s=1 / own.wall,
        ratio_to_one_scene=None if one_scene is None else own.wall / one_scene.wall,
        core_ratio_to_one_scene=None if one_scene is None else own.cpu / one_scene.cpu,
        live_offered_per_s=live.offered / live.seconds,
        live_delivered_per_s=live.delivered_per_s,
        live_dropped=live.dropped,
        latency_ms={name: live.percentile(percent) for name, percent in LATENCIES.items()},
        slowest_camera_per_s=live.least_scored * rate,
        behind_s={name: float(times.max()) if len(times) else float("nan") for name, times in live.behind.items()},
        keeps_up=live.least_scored == 1 and live.most_behind <= BEHIND,
    )


def _memory_row(folder: Path, names: Sequence[str], engine: EngineSettings, job: ScaleJob) -> MemoryRow:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure_memory, (folder, names, engine, job))


def _measure_memory(folder: Path, names: Sequence[str], engine: EngineSettings, job: ScaleJob) -> MemoryRow:
    """Measures the memory of this process, which should have done nothing else yet."""
    settle_memory()  # as `watch` does
    inference = make_inference(engine, capacity_bytes=job.scene_bytes)
    cache = SceneCache(folder, job.device, inference.prepare)
    MemoryCameras(cache, names[:1], 1, job.batch, inference).all_at_once(2 * job.batch)
    weights, resident = cache.nbytes, resident_memory()
    MemoryCameras(cache, names, len(names), job.batch, inference).all_at_once(len(names) * job.batch)
    now = resident_memory()
    predicted = int(TIMES_ITS_WEIGHTS * (cache.nbytes - weights)) + BESIDE * (len(names) - 1)
    gpu = torch.cuda.memory_reserved(cache.device) if cache.device.type == "cuda" else None
    return MemoryRow(len(names), cache.nbytes, now, now - resident, predicted, gpu)


def _print(
    rows: Sequence[ScaleRow], memory: Sequence[MemoryRow], settings: Settings, job: ScaleJob, facts: dict[str, Any]
) -> None:
    cells = [
        [
            str(row.cameras),
            str(row.scenes),
            f"{row.ms_per_frame:.1f}",
            f"{row.core_ms_per_frame:.1f}",
            f"{row.frames_per_s:.1f}",
            number(row.ratio_to_one_scene, 2),
            number(row.core_ratio_to_one_scene, 2),
            f"{row.live_offered_per_s:.0f}",
            f"{row.live_delivered_per_s:.1f}",
            f"{100 * row.live_dropped:.0f} %",
            *(f"{value:.0f} ms" for value in row.latency_ms.values()),
            f"{row.slowest_camera_per_s:.2f}/s",
            f"{1000 * max(row.behind_s.values()):.0f} ms",
            "yes" if row.keeps_up else "no",
        ]
        for row in rows
    ]
    height, width = settings.input.size
    notes = [
        f"{machine_line(facts)}. {settings.model.backbone} at {height}x{width}, batches of up to {job.batch}. ms/frame "
        f"and frames/s: {job.frames} frames of the input's size that wait in memory, through the stream of `watch` "
        f"without decoding and resizing, medians of {job.repeats} rounds in turn. Live: {job.rate:g} frames/s of each "
        f"camera over {job.seconds:g} s, the newest waits; from arrival to delivery. Behind live: from when a frame "
        "was due to its delivery, the latest of all cameras; the last column: every frame of every camera was scored, "
        "and delivered so soon.",
    ]
    print_markdown(f"{settings.model.backbone}, cameras and scenes", [*COLUMNS, *LATENCIES, *WORST], cells, notes)
    cells = [
        [
            str(row.scenes),
            *(number(None if value is None else value / MEBI, 1) for value in list(asdict(row).values())[1:]),
        ]
        for row in memory
    ]
    columns = [
        "scenes",
        "weights (MiB)",
        "process (MiB)",
        "scenes after the first (MiB)",
        "predicted (MiB)",
        "GPU (MiB)",
    ]
    note = (
        f"Predicted: {TIMES_ITS_WEIGHTS} times the weights and {BESIDE // MEBI} MiB for each scene after the first, as "
        "measured on CPUs. GPU: what PyTorch holds of its memory, recordings included."
    )
    title = f"{settings.model.backbone}, memory of a process that has scored with each scene"
    print_markdown(title, columns, cells, [note])
