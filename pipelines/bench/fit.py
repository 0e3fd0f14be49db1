"""`bench fit` and `bench memory`: the time and the memory of a fit, beside the original release's way."""

from __future__ import annotations

import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from msflow_stream.config.loading import load
from msflow_stream.config.settings import Settings
from msflow_stream.machine import choose_device
from msflow_stream.model.flows import make_plain
from msflow_stream.model.msflow import negative_log_likelihood
from msflow_stream.results.run_folder import versions
from msflow_stream.scenes.feature_cache import feature_cache
from msflow_stream.scenes.features import NormalFeatures
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.training import FlowFit
from msflow_stream.series import batched

from ..terminal.progress import progress, table
from .machine import peak_memory

PLAIN, RECOMPUTED, CACHED, FITTED = (
    "as the original release",
    "features recomputed",
    "features cached",
    "as `fit`, parts on threads",
)
WAYS = PLAIN, RECOMPUTED, CACHED, FITTED


def bench_fit(
    backbones: Sequence[str],
    size: tuple[int, int],
    frames: int,
    repeats: int,
    device: str = "auto",
    overrides: Sequence[str] = (),
    out: Path | None = None,
) -> list[dict[str, Any]]:
    """Times a pass of a fit in four ways, in turn, on random images that are in memory already; prints a table.

    The ways: as the original release does it (float32, gradients flow into the backbone too, no shortcuts in the
    blocks); features recomputed in every pass, without gradients; features cached; and as `fit` does it, on CPUs with
    the parts of a batch beside one another, by a flow made for it. The first three keep to torch's own threads.

    Args:
        backbones: with random weights.
        size: of the input, height and width.
        frames: in a pass.
        repeats: of every way; the median counts.
        device: such as auto, cpu or cuda.
        overrides: settings, as --set takes them.
        out: a JSON file for the figures.
    """
    results: list[dict[str, Any]] = []
    rows: list[list[str]] = []
    chosen = choose_device(device)
    for backbone in backbones:
        settings = _settings(backbone, size, repeats + 1, overrides)
        ways = _ways(settings, frames, chosen)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        cores: dict[str, list[float]] = {name: [] for name in ways}
        with progress("passes") as bars:
            task = bars.add_task(backbone, total=(repeats + 1) * len(ways))
            for number in range(repeats + 1):
                for name, one_pass in ways.items():
                    started, busy = time.perf_counter(), time.process_time()
                    one_pass()
                    if number:  # the first pass warms up
                        seconds[name].append(time.perf_counter() - started)
                        cores[name].append((time.process_time() - busy) / seconds[name][-1])
                    bars.advance(task)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        for name, value in medians.items():
            ratio, of_cached = medians[PLAIN] / value, value / medians[CACHED]
            facts = {"seconds": value, "times_as_fast": ratio, "of_cached": of_cached}
            busy = statistics.median(cores[name])
            results.append({"backbone": backbone, "way": name, **facts, "cores_busy": busy})
            rows.append([backbone, name, f"{value:.3f}", f"{ratio:.2f}", f"{of_cached:.2f}", f"{busy:.1f}"])
    title = f"a pass over {frames} frames of {size[0]}x{size[1]}, {chosen}"
    Console().print(table(title, ["backbone", "way", "seconds", "times as fast", "of cached", "cores busy"], rows))
    if out is not None:
        run = {"size": size, "frames": frames, "repeats": repeats, "device": str(chosen), "versions": versions()}
        out.write_text(json.dumps(run | {"results": results}, indent=2) + "\n", encoding="utf-8")
    return results


def bench_memory(backbone: str, size: tuple[int, int], frames: int, overrides: Sequence[str] = ()) -> None:
    """Prints the peak memory of fits on the CPU: without a cache to speak of, with one in memory, with one on disk."""
    settings = _settings(backbone, size, 1, overrides)
    limit = 0.01  # GiB
    in_memory, on_disk = {"cache_memory": 1e6}, {"cache_memory": limit}
    cases = [
        ("8 frames, cache in memory", 8, in_memory),
        (f"{frames} frames, cache in memory", frames, in_memory),
        (f"{frames} frames, {limit:g} GiB in memory, the rest on disk", frames, on_disk),
    ]
    rows = []
    for name, count, changes in cases:
        changed = settings.model_copy(update={"fit": settings.fit.model_copy(update=changes)})
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # a process of its own has its own peak
            peak, cached = pool.apply(_peak_memory, (changed, count))
        rows.append([name, f"{cached / 2**20:.0f}", f"{peak / 2**20:.0f}"])
    title = f"peak memory of a fit, {backbone} at {size[0]}x{size[1]}, cpu"
    Console().print(table(title, ["", "features (MiB)", "peak (MiB)"], rows))


def _settings(backbone: str, size: tuple[int, int], passes: int, overrides: Sequence[str]) -> Settings:
    given = (f"model.backbone={backbone}", "model.weights=random", f"input.size={list(size)}", "fit.holdout=0")
    return load(None, [*given, *overrides, f"fit.passes={passes}"])


def _ways(settings: Settings, frames: int, device: torch.device) -> dict[str, Callable[[], object]]:
    """One pass in each of the four ways; each has a model of its own."""
    images = _images(settings, frames)
    cached = FlowFit(*_extracted(Scene.new("cached", settings).to(device), images), plain=True).run()
    fitted = FlowFit(*_extracted(Scene.new("fitted", settings).to(device), images)).run()
    return {
        PLAIN: _plain_pass(Scene.new("plain", settings).to(device), images),
        RECOMPUTED: _recomputed_pass(Scene.new("recomputed", settings).to(device), images),
        CACHED: lambda: next(cached),
        FITTED: lambda: next(fitted),
    }


def _images(settings: Settings, frames: int) -> Tensor:
    return torch.randn(frames, 3, *settings.input.size, generator=torch.Generator().manual_seed(0))


def _extracted(scene: Scene, images: Tensor) -> tuple[Scene, NormalFeatures]:
    cache = feature_cache(scene.settings.fit, device=scene.device)
    for part in torch.split(images, scene.settings.fit.batch):
        cache.add(scene.pyramid(part.to(scene.device)))
    return scene, NormalFeatures(cache, [("noise", index, 0.0) for index in range(len(images))])


def _plain_pass(scene: Scene, images: Tensor) -> Callable[[], None]:
    pyramid = scene.pyramid.requires_grad_(True).to(memory_format=torch.contiguous_format)
    make_plain(scene.flow).to(memory_format=torch.contiguous_format)

    def features(part: Tensor) -> list[Tensor]:
        return [pyramid.pooled(f) for f in pyramid.backbone(part)]

    return _pass(scene, images, features)


def _recomputed_pass(scene: Scene, images: Tensor) -> Callable[[], None]:
    def features(part: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return scene.pyramid.forward(part)

    return _pass(scene, images, features)


def _pass(scene: Scene, images: Tensor, features: Callable[[Tensor], list[Tensor]]) -> Callable[[], None]:
    settings = scene.settings.fit
    parameters = [p for p in scene.flow.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate)
    scene.flow.train()

    def one_pass() -> None:
        for positions in batched(range(len(images)), settings.batch):
            part = images[positions].to(scene.device)
            loss = negative_log_likelihood(*scene.flow(features(part))).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
            optimizer.step()
            loss.item()  # waits for the device

    return one_pass


def _peak_memory(settings: Settings, frames: int) -> tuple[int, int]:
    """Bytes of this process at its peak, and of the features, after a fit of one pass."""
    scene = Scene.new("memory", settings)
    cache = feature_cache(settings.fit)
    generator = torch.Generator().manual_seed(0)
    for _ in range(0, frames, settings.fit.batch):
        cache.add(scene.pyramid(torch.randn(settings.fit.batch, 3, *settings.input.size, generator=generator)))
    footage = NormalFeatures(cache, [("noise", index, 0.0) for index in range(len(cache))])
    for _ in FlowFit(scene, footage).run():
        pass
    return peak_memory(), cache.bytes
