"""`bench metrics`: the streaming metrics beside the loops that are usually written, and the memory that they need."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console

from msflow_stream.evaluation.metrics.ranking import LIMIT, StreamingAupro, StreamingAuroc

from ..terminal.progress import progress, table
from .machine import peak_memory

USUAL, REGIONS_ONCE, STREAMING = "loop over thresholds", "the same, regions found once", "streaming, every value"
MAP_PIXELS = 2**20  # of each of the maps that the pixels of the second part come in

Maps = npt.NDArray[np.float32]  # N H W
Masks = npt.NDArray[np.bool_]  # N H W
Region = tuple[tuple[slice, slice], npt.NDArray[np.bool_]]  # where its box is, and which pixels of it


def bench_metrics(
    masks: int = 200, size: int = 512, pixels: int = 10**8, thresholds: int = 800, out: Path | None = None
) -> list[dict[str, Any]]:
    """Times AUPRO in three ways and pixel AUROC with its peak memory, on synthetic maps; prints two tables.

    The ways: the loop as it is usually written, over evenly spaced thresholds, with the regions of every mask found
    anew at each; the same with the regions found once; and one pass of `StreamingAupro`, which needs no thresholds.

    Args:
        masks: and as many maps, in float32; a quarter of them without an anomaly.
        size: height and width of each.
        pixels: for the AUROC, map by map in a process of its own.
        thresholds: of the loops.
        out: a JSON file for the figures.
    """
    console = Console()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        area, seconds, peak = pool.apply(_pixel_auroc, (pixels,))
    memory = {"pixels": pixels, "auroc": area, "seconds": seconds, "peak_bytes": peak}
    truth, maps = _examples(masks, size)
    results: list[dict[str, Any]] = []
    with progress("thresholds") as bars:
        task = bars.add_task("AUPRO", total=2 * thresholds)
        ways: dict[str, Callable[[], float]] = {
            USUAL: lambda: _usual(truth, maps, thresholds, _regions, lambda: bars.advance(task)),
            REGIONS_ONCE: lambda: _usual(truth, maps, thresholds, _remembered(), lambda: bars.advance(task)),
            STREAMING: lambda: _streaming(truth, maps),
        }
        for name, way in ways.items():
            started = time.perf_counter()
            value = way()
            results.append({"way": name, "aupro": value, "seconds": time.perf_counter() - started})
    for result in results:
        result["times_as_fast"] = results[0]["seconds"] / result["seconds"]
    rows = [[r["way"], f"{r['aupro']:.5f}", f"{r['seconds']:.2f}", f"{r['times_as_fast']:.1f}"] for r in results]
    title = f"AUPRO of {masks} maps of {size}x{size}, {thresholds} thresholds in the loops"
    console.print(table(title, ["way", "AUPRO", "seconds", "times as fast"], rows))
    title = f"pixel AUROC of {pixels:,} pixels, streaming, in a process of its own"
    row = [f"maps of {MAP_PIXELS:,}", f"{area:.5f}", f"{seconds:.2f}", f"{peak / 2**20:.0f}"]
    console.print(table(title, ["pixels", "AUROC", "seconds", "peak (MiB)"], [row]))
    if out is not None:
        facts = {"masks": masks, "size": size, "thresholds": thresholds, "aupro": results, "pixel_auroc": memory}
        out.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return results


def _examples(count: int, size: int) -> tuple[Masks, Maps]:
    """Masks of up to four discs (every fourth has none), and smooth noise that is higher inside them."""
    rng = np.random.default_rng(0)
    masks, maps = np.zeros((count, size, size), bool), np.empty((count, size, size), np.float32)
    for number in range(count):
        canvas = np.zeros((size, size), np.uint8)
        for _ in range(int(rng.integers(1, 5)) if number % 4 else 0):
            x, y = (int(value) for value in rng.integers(0, size, 2))
            cv2.circle(canvas, (x, y), int(rng.integers(2, 3 + size // 16)), 1, cv2.FILLED)
        masks[number] = canvas > 0
        noise = cv2.GaussianBlur(rng.standard_normal((size, size), np.float32), (0, 0), 4)
        maps[number] = noise / noise.std() + 4 * cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 4)
    return masks, maps


def _regions(mask: npt.NDArray[np.bool_]) -> list[Region]:
    """The connected components of a mask; cv2 finds them faster than other libraries, which favours the loop."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    regions: list[Region] = []
    for number in range(1, count):
        x, y, width, height = (int(value) for value in stats[number, :4])
        box = (slice(y, y + height), slice(x, x + width))
        regions.append((box, labels[box] == number))
    return regions


def _remembered() -> Callable[[npt.NDArray[np.bool_]], list[Region]]:
    """`_regions`, each mask's found once."""
    known: dict[int, list[Region]] = {}

    def regions(mask: npt.NDArray[np.bool_]) -> list[Region]:
        place = mask.ctypes.data
        if place not in known:
            known[place] = _regions(mask)
        return known[place]

    return regions


def _usual(
    masks: Masks,
    maps: Maps,
    thresholds: int,
    regions: Callable[[npt.NDArray[np.bool_]], list[Region]],
    advance: Callable[[], None],
) -> float:
    """AUPRO as evaluation scripts have it: all maps cut at each of some thresholds between the extremes."""
    normal = ~masks
    pro, fpr = [0.0], [0.0]
    for threshold in np.linspace(maps.max(), maps.min(), thresholds):
        found = maps >= threshold
        overlaps = [
            here[box][inside].mean() for mask, here in zip(masks, found, strict=True) for box, inside in regions(mask)
        ]
        pro.append(float(np.mean(overlaps)))
        fpr.append(float(np.logical_and(found, normal).sum() / normal.sum()))
        advance()
    x, y = np.array(fpr), np.array(pro)
    part = x < LIMIT
    return float(np.trapezoid([*y[part], np.interp(LIMIT, x, y)], [*x[part], LIMIT]) / LIMIT)


def _streaming(masks: Masks, maps: Maps) -> float:
    aupro = StreamingAupro()
    for mask, anomaly_map in zip(masks, maps, strict=True):
        aupro.add(mask, anomaly_map)
    value = aupro.value()
    return float("nan") if value is None else value


def _pixel_auroc(pixels: int) -> tuple[float, float, int]:
    """AUROC of pixels that come map by map, seconds that counting them took, and this process's peak in bytes.

    A twentieth is anomalous, one standard deviation higher: the AUROC is that of two normal distributions, 0.7602.
    """
    rng = np.random.default_rng(0)
    stream, seconds = StreamingAuroc(), 0.0
    for start in range(0, pixels, MAP_PIXELS):
        labels = rng.random(min(MAP_PIXELS, pixels - start), np.float32) < 0.05
        scores = rng.standard_normal(len(labels), np.float32) + labels
        started = time.perf_counter()
        stream.add(labels, scores)
        seconds += time.perf_counter() - started
    started = time.perf_counter()
    value = stream.value()
    seconds += time.perf_counter() - started
    return float("nan") if value is None else value, seconds, peak_memory()
