"""The bench in small: the plain way in both kinds of float32, the engine in its precisions, and where time goes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from statistics import median

import torch
from torch import Tensor

from msflow_stream.config.engines import EnginePrecision
from msflow_stream.machine import tf32
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.inference import ImageBatch
from pipelines.bench.kernels import KernelRow, profile_kernels
from pipelines.bench.plain import operations, plain_model
from tests.gpu.report import At
from tests.gpu.subjects import SMALL, engine_for, frames, inference_of, measures_by, new_scene, on, prepared

BACKBONE, SIDE, BATCHES = "wide_resnet50_2", 512, (1, 8, 32)
PRECISIONS: tuple[EnginePrecision, ...] = ("float32", "tf32", "bf16", "fp16")
TIMES, KERNELS = 10.0, 25  # as fast as IEEE's plain way at least; kernels shown
LAYOUT = re.compile(r"nchwToNhwc|nhwcToNchw|transpose|permute|direct_copy|aten::copy_", re.IGNORECASE)
Work = Callable[[], object]


def check(at: At) -> None:
    """Times them all."""
    backbone, overrides = (BACKBONE, [f"input.size=[{SIDE},{SIDE}]"]) if at.cuda else (SMALL, [])
    scene = on(new_scene(at, backbone, *overrides), at.device)
    images = prepared(scene, 8).repeat(4, 1, 1, 1)
    plain, work = plain_model(scene), operations(scene)
    batch = BATCHES[-1] if at.cuda else 4
    seconds: dict[str, float] = {}
    for name, chosen in (
        (("IEEE float32 plain", nullcontext), ("TF32 plain", tf32)) if at.cuda else (("plain", nullcontext),)
    ):
        with at.case(name, needs=4) as case, chosen():
            seconds[name] = _seconds(at, lambda: _plain(plain, images[:batch].to(at.device)))
            case.measured(1000 * seconds[name], f"{batch} frames take", f" ms ({_per_frame(seconds[name], batch)})")
    for precision in PRECISIONS if at.cuda else ("float32",):
        inference = inference_of(engine_for(at, precision))
        for count in BATCHES if at.cuda and precision == "bf16" else (batch,):
            with at.case(f"{scene.settings.model.backbone} {precision} batch {count}", needs=4) as case:
                given = [inference.image(scene, frame.pixels) for frame in (frames(8) * 4)[:count]]
                batch_of_one = [ImageBatch(scene, given, scene.settings.score)]
                taken = _seconds(at, partial(inference.measure_images, batch_of_one))
                there = [images[:count].to(at.device)]
                alone = _seconds(at, partial(inference.scenes.get(scene).joined(scene.settings.score, False), there))
                speed = f"{work * count / taken / 1e12:.3g} TFLOP/s of the plain model's work"
                text = f"{_per_frame(taken, count)}, {speed}; without transfers {1000 * alone:.3g} ms"
                case.measured(1000 * taken, "with transfers", f" ms ({text})")
                if count == batch:
                    seconds[precision] = taken
    at.skip("compile and tensorrt", "they take minutes to make their code: `bench scorer` has them")
    if at.needs_cuda("times as fast", "share of the bf16 peak"):
        _check_speed(at, seconds, work * batch)
    _kernels(at, scene, images[:batch])


def _check_speed(at: At, seconds: dict[str, float], work: float) -> None:
    best = min(PRECISIONS, key=lambda one: seconds.get(one, float("inf")))
    with at.case("times as fast as the plain way in IEEE float32") as case:
        text = f"{best}, {SIDE}x{SIDE}, batch {BATCHES[-1]}:"
        case.above(seconds["IEEE float32 plain"] / seconds[best], TIMES, text, "x")
    with at.case("share of the bf16 peak") as case:
        peak = _peak(at)
        case.measured(100 * work / seconds["bf16"] / peak, f"of {peak / 1e12:.0f} TFLOP/s", " % (aim: 50 %)")


def _per_frame(seconds: float, count: int) -> str:
    return f"{1000 * seconds / count:.3g} ms a frame, {count / seconds:.0f} frames/s"


def _plain(model: torch.nn.Module, images: Tensor) -> list[Tensor]:
    with torch.inference_mode():
        return [value.cpu() for value in model(images)]


def _seconds(at: At, work: Work) -> float:
    """The median of a few times, after some that only warm up."""
    taken: list[float] = []
    end = time.monotonic() + (4.0 if at.cuda else 6.0)
    for number in range(14 if at.cuda else 4):
        at.synchronise()
        start = time.perf_counter()
        work()
        at.synchronise()
        if number >= 2 or not at.cuda:
            taken.append(time.perf_counter() - start)
        if taken and time.monotonic() > end:
            break
    return median(taken)


def _peak(at: At) -> float:
    a, b = (torch.randn(8192, 8192, device=at.device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192.0**3 / _seconds(at, lambda: a @ b)


def _kernels(at: At, scene: Scene, images: Tensor) -> None:
    """What one batch does on the GPU, kernel by kernel; without one, operator by operator."""
    inference = inference_of(engine_for(at, "bf16" if at.cuda else "float32"))
    rows, total = list[KernelRow](), 0.0
    with at.case("kernels") as case:
        rows = profile_kernels(lambda: measures_by(inference, scene, images), at.device, most=10**6)
        total = sum(one.milliseconds for one in rows)
        case.measured(total, f"{sum(one.calls for one in rows):.0f} of them take", " ms of a batch")
    for number, one in enumerate(rows[: KERNELS if at.cuda else 5], 1):
        with at.case(f"kernel {number}") as case:
            text = f"{one.name[:90]}: {one.calls:.3g} times,"
            case.measured(one.milliseconds, text, f" ms ({100 * one.share:.0f} %)")
    with at.case("layout copies") as case:
        copies = [one for one in rows if LAYOUT.search(one.name)]
        taken = sum(one.milliseconds for one in copies)
        case.measured(sum(one.calls for one in copies), f"{taken:.2g} of {total:.3g} ms; kernels that only reorder:")
