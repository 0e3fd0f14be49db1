"""Several threads: captures at a time, and scoring while scenes are reloaded and evicted."""

from __future__ import annotations

import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import torch

from msflow_stream.model.tensors import weights_bytes
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.scorer import ScoreRequest, score_batch
from msflow_stream.types import FrameScore
from pipelines.bench.machine import resident_memory
from tests.gpu.report import At
from tests.gpu.subjects import (
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

SCENES, WORKERS = 5, 4
EXACT = 1e-4
SECONDS, CPU_SECONDS = 60.0, 15.0


def check(at: At) -> None:
    """Checks them."""
    _simultaneous_captures(at)
    with tempfile.TemporaryDirectory() as folder:
        _scoring_beside_changes(at, Path(folder))


def _simultaneous_captures(at: At) -> None:
    """Two scenes with pyramids of their own meet new batch sizes in the same moment."""
    scenes = [on(new_scene(at, SMALL, f"fit.seed={seed}"), at.device) for seed in (1, 2)]
    images = prepared(scenes[0], 8)
    engine = engine_for(at)
    own = [inference_of(engine) for _ in scenes]
    expected = [scene.measure(images) for scene in scenes]
    barrier = Barrier(len(scenes))

    def work(number: int) -> float:
        errors = []
        for count in (1, 2, 3, 5, 8):
            barrier.wait(timeout=30)
            found = measures_by(own[number], scenes[number], images[:count])
            errors.append(relative_error(found, type(found)(*(one[:count] for one in expected[number]))))
        return max(errors)

    with at.case("captures at a time") as case, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(len(scenes)) as pool:
            case.below(
                max(pool.map(work, range(len(scenes)))), EXACT, "scores of both threads differ from the plain ones by"
            )
    with at.case("captures at a time, warnings") as case:
        said = [str(one.message) for one in caught if "graph" in str(one.message).lower()]
        case.holds(not said, f"none about graphs{': ' if said else ''}{'; '.join(said)[:200]}")


def _scoring_beside_changes(at: At, folder: Path) -> None:
    """Threads score with scenes that are evicted in turns and saved anew meanwhile."""
    names = [f"scene{number}" for number in range(SCENES)]
    pyramid, bytes_each = None, 0
    for seed, name in enumerate(names):
        scene = new_scene(at, SMALL, f"fit.seed={seed}", name=name, pyramid=pyramid)
        pyramid, bytes_each = scene.pyramid, weights_bytes(scene.flow)
        scene.save(folder / name)
    inference = inference_of(engine_for(at), capacity_bytes=int(2.5 * bytes_each))
    cache = SceneCache(folder, str(at.device), inference.prepare)
    serial = {name: score_batch(_requests(cache.get(name)), inference) for name in names}
    at.synchronise()
    stop, levels, counts = Event(), list[float](), dict.fromkeys(("batches", "reloads"), 0)

    def score(worker: int) -> float:
        rng, worst = np.random.default_rng(worker), 0.0
        while not stop.is_set():
            name = names[int(rng.integers(SCENES))]
            first, count = int(rng.integers(6)), int(rng.integers(1, 7))
            found = score_batch(_requests(cache.get(name))[first : first + count], inference)
            worst = max(worst, _largest(found, serial[name][first : first + count]))
            counts["batches"] += 1
        return worst

    def reload() -> float:
        while not stop.wait(0.7):
            name = names[counts["reloads"] % SCENES]
            Scene.load(folder / name).save(folder / name, overwrite=True)
            cache.forget(name)
            cache.reload([name])
            counts["reloads"] += 1
            levels.append(_memory(at))
        return 0.0

    seconds = min(SECONDS if at.cuda else CPU_SECONDS, at.left - 8)
    with at.case("scores beside reloads and evictions", needs=12) as case:
        timer = threading.Timer(seconds, stop.set)
        timer.start()
        jobs: list[Callable[[], float]] = [*(lambda n=n: score(n) for n in range(WORKERS)), reload]
        start = time.monotonic()
        try:
            with ThreadPoolExecutor(len(jobs)) as pool:
                futures = [pool.submit(job) for job in jobs]
                errors = [future.result() for future in futures]
        finally:
            stop.set()
            timer.cancel()
        text = f"{counts['batches']} batches beside {counts['reloads']} reloads in {time.monotonic() - start:.0f} s"
        case.below(max(errors), EXACT, f"{text}: scores differ from the serial run's by")
    with at.case("memory beside reloads and evictions") as case:
        if len(levels) < 4:
            case.skip(f"only {len(levels)} reloads in the time")
            return
        first, last = max(levels[: len(levels) // 2]), max(levels[len(levels) // 2 :])
        text = f"highest of the second half {last / 2**20:.0f} MiB, of the first {first / 2**20:.0f} MiB:"
        case.below(last / first, 1.1 if at.cuda else 1.3, text, "x")


def _requests(scene: Scene) -> list[ScoreRequest]:
    return [ScoreRequest(frame, scene, scene.settings.score) for frame in frames(12)]


def _largest(found: list[FrameScore], expected: list[FrameScore]) -> float:
    pairs = zip(found, expected, strict=True)
    return max(abs(a.surprise - b.surprise) / max(1.0, abs(b.surprise)) for a, b in pairs)


def _memory(at: At) -> float:
    return float(torch.cuda.memory_reserved(at.device)) if at.cuda else float(resident_memory())
