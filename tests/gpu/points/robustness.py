"""Areas, scenes side by side in a batch, flows that wait on the CPU, and what happens when no memory is left."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.scorer import ScoreRequest, score_batch
from msflow_stream.types import FrameScore
from msflow_stream.watch.areas import area_mask
from tests.gpu.report import At
from tests.gpu.subjects import (
    BACKBONE,
    SMALL,
    engine_for,
    frames,
    inference_of,
    measures_by,
    new_scene,
    on,
    prepared,
    relative_error,
)

EXACT = 1e-4
AREA = [(0.0, 0.1), (1.0, 0.2), (0.4, 0.9)]


def check(at: At) -> None:
    """Checks them."""
    scenes = _scenes(at, 3)
    moved = _moved(at, scenes)
    requests = _requests(scenes, areas=True)
    with at.case("areas and three scenes in a batch") as case:
        found = score_batch(_requests(moved, areas=True), inference_of(engine_for(at)))
        case.below(_largest(found, score_batch(requests)), EXACT, "scores differ from the plain ones on the CPU by")
    with at.case("outside of an area") as case:
        warm = max(
            float(one.map[~area.area].max()) for one, area in zip(found, requests, strict=True) if area.area is not None
        )
        case.below(warm, 0, "the warmest pixel of the map is")
    with at.case("flows that wait on the CPU") as case, tempfile.TemporaryDirectory() as folder:
        case.below(_with_waiting_flows(at, Path(folder), scenes), EXACT, "scores differ from the plain ones by")
    if at.needs_cuda("no memory left"):
        _without_memory(at)


def _scenes(at: At, count: int) -> list[Scene]:
    """Scenes of one pyramid, on the CPU."""
    found: list[Scene] = []
    for seed in range(count):
        pyramid = found[0].pyramid if found else None
        found.append(new_scene(at, SMALL, f"fit.seed={seed}", name=f"scene{seed}", pyramid=pyramid))
    return found


def _moved(at: At, scenes: Sequence[Scene]) -> list[Scene]:
    """Copies on the device that share a pyramid."""
    first = on(scenes[0], at.device)
    found = [on(scene, at.device) for scene in scenes]
    for scene in found:
        scene.pyramid = first.pyramid
    return found


def _requests(scenes: Sequence[Scene], areas: bool) -> list[ScoreRequest]:
    """Frames of all scenes in turns; every other one has an area."""
    requests = []
    for number, frame in enumerate(frames(9)):
        scene = scenes[number % len(scenes)]
        area = area_mask([AREA], [], scene.settings.input.size) if areas and number % 2 else None
        requests.append(ScoreRequest(frame, scene, scene.settings.score, area))
    return requests


def _largest(found: Sequence[FrameScore], expected: Sequence[FrameScore]) -> float:
    pairs = zip(found, expected, strict=True)
    return max(
        abs(x - y) / max(1.0, abs(y)) for a, b in pairs for x, y in zip(a.scores, b.scores, strict=True) if y == y
    )


def _with_waiting_flows(at: At, folder: Path, scenes: Sequence[Scene]) -> float:
    for scene in scenes:
        scene.save(folder / scene.name)
    inference = inference_of(engine_for(at), capacity_bytes=1)
    cache = SceneCache(folder, str(at.device), inference.prepare)
    waiting = [cache.get(scene.name) for scene in scenes]
    found = score_batch(_requests(waiting, areas=False), inference)
    if at.cuda and any(one.is_cuda for scene in waiting for one in scene.flow.parameters()):
        raise AssertionError("a flow that should wait is on the GPU")
    return _largest(found, score_batch(_requests(scenes, areas=False)))


def _without_memory(at: At) -> None:
    """A batch that does not fit: the scores come all the same, and something is said."""
    scene = on(new_scene(at, BACKBONE, "input.size=[512,512]"), at.device)
    images = prepared(scene, 4).repeat(16, 1, 1, 1)
    inference = inference_of(engine_for(at))
    with at.case("no memory left, warm-up", needs=10) as case:
        torch.cuda.reset_peak_memory_stats(at.device)
        expected = measures_by(inference, scene, images[:4])
        most = torch.cuda.max_memory_reserved(at.device)
        case.measured(most / 2**20, "a batch of 4 takes at most", " MiB")
    with at.case("no memory left", needs=5) as case:
        total = torch.cuda.get_device_properties(at.device).total_memory
        with _log() as said:
            torch.cuda.set_per_process_memory_fraction(min(1.0, (most + 2**29) / total), at.device)
            try:
                found = measures_by(inference, scene, images)
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0, at.device)
        error = relative_error(found, type(found)(*(one.repeat(16, *(1,) * (one.ndim - 1)) for one in expected)))
        case.below(error, EXACT, f"{len(images)} frames with memory for few: scores differ by")
    with at.case("no memory left, said") as case:
        case.holds(bool(said), f"warnings: {'; '.join(said)[:300] or 'none: either it fitted, or nobody was told'}")
    with at.case("no memory left, afterwards") as case:
        found = measures_by(inference, scene, images[:4])
        case.below(relative_error(found, expected), EXACT, "the process goes on; scores differ by")


@contextmanager
def _log() -> Iterator[list[str]]:
    """Warnings of the library as they come."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, listener = logging.getLogger("msflow_stream"), Listener(logging.WARNING)
    logger.addHandler(listener)
    try:
        yield said
    finally:
        logger.removeHandler(listener)
