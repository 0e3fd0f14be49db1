"""`bench scorer`: every variant to score beside a plain one, and how near the limit each comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from msflow_stream.datasets.synthetic import SyntheticScene
from msflow_stream.files import write_json
from msflow_stream.machine import choose_device
from msflow_stream.scenes.scene import Scene

from ..terminal.progress import print_markdown
from .machine import GIGA, Load, Peaks, Spent, in_turn, machine_facts, machine_line, median, spent
from .variants import PLAIN, Measured, ScoringVariant, check_engines, largest_difference, operations, variants_of

COMPARED = 8  # images at least, whose scores are compared
NORMAL = 16  # other images, in which int8 finds its ranges
COLUMNS = ["engine", "precision", "batch", "ms/frame", "frames/s", "times as fast", "max difference", "of peak"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerJob:
    """The request to `bench scorer`.

    Attributes:
        batches: frames at a time.
        repeats: rounds that count, of all variants in turn.
        engines: beside the plain and the unfused variant; all if none is named.
        load: what the machine's peak is measured with; None: what suits the device.
    """

    batches: Sequence[int] = (1, 4)
    repeats: int = 9
    device: str = "auto"
    out: Path | None = None
    engines: Sequence[str] = ()
    load: Load | None = None


@dataclass(frozen=True, slots=True)
class ScorerRow:
    """One variant at one batch size.

    Attributes:
        ratio: how many times as fast as the plain variant, at the same batch size.
        max_score_difference: to the plain variant, as of `largest_difference`.
        peak_fraction: operations of the plain model by the time of this one, as a share of the machine's measured
            peak in this precision; None where torch cannot measure that.
    """

    backbone: str
    input_size: tuple[int, int]
    engine: str
    precision: str
    batch: int
    ms_per_frame: float
    frames_per_s: float
    ratio: float
    max_score_difference: float
    peak_fraction: float | None


def bench_scorer(scenes: Sequence[Scene], job: ScorerJob) -> list[ScorerRow]:
    """Times every variant to score prepared images for each of the scenes, prints a table for each, and writes JSON.

    Raises:
        UserError: an engine of a name that there is not.
    """
    check_engines(job.engines)  # before anything takes time
    device = choose_device(job.device)
    peaks = Peaks(device, job.load)
    rows: list[ScorerRow] = []
    for scene in scenes:
        found = _rows(scene.to(device), job, peaks)
        _print(found, scene, job, machine_facts(device, peaks.speeds))
        rows += found
        torch.compiler.reset()  # what it made for this scene; it gives up where it has made too many of one function
    if job.out is not None:
        facts = machine_facts(device, peaks.speeds)
        write_json(job.out, {"machine": facts, "rows": [asdict(row) for row in rows]})
    return rows


def prepared_images(scene: Scene, count: int) -> Tensor:
    """Frames of synthetic footage as the scene prepares them (count 3 H W), one a second."""
    height, width = scene.settings.input.size
    footage = SyntheticScene(width, height, Fraction(1), seed=0, traffic_seed=0)
    return torch.stack([scene.prepare(footage.frame(index).image) for index in range(count)])


def _rows(scene: Scene, job: ScorerJob, peaks: Peaks) -> list[ScorerRow]:
    count = max(COMPARED, *job.batches)
    images, normal = torch.split(prepared_images(scene, count + NORMAL), [count, NORMAL])
    variants = variants_of(scene, torch.split(normal, job.batches[0]), job.engines)
    cases = {(variant.engine, variant.precision, batch): variant for variant in variants for batch in job.batches}
    results = {key: _results(variant, images, key[2]) for key, variant in cases.items()}
    measurements = {key: _measurement(variant, images[: key[2]]) for key, variant in cases.items()}
    taken = in_turn({**measurements, **peaks.measurements}, job.repeats, scene.name)
    peaks.add(taken)
    seconds = {key: median(taken[key]).wall / key[2] for key in cases}
    work, rows = operations(scene), []
    for engine, precision, batch in cases:
        key, plain = (engine, precision, batch), (PLAIN, "float32", batch)
        peak = peaks.speeds.get(precision)
        row = ScorerRow(
            backbone=scene.settings.model.backbone,
            input_size=scene.settings.input.size,
            engine=engine,
            precision=precision,
            batch=batch,
            ms_per_frame=1000 * seconds[key],
            frames_per_s=1 / seconds[key],
            ratio=seconds[plain] / seconds[key],
            max_score_difference=largest_difference(results[key], results[plain]),
            peak_fraction=None if peak is None else work / seconds[key] / peak,
        )
        rows.append(row)
    return rows


def _results(variant: ScoringVariant, images: Tensor, batch: int) -> list[Measured]:
    """Results for all images; the last batch is filled up with earlier ones, as an engine may know one size only."""
    starts = [min(start, len(images) - batch) for start in range(0, len(images), batch)]
    return [variant.measure(images[start : start + batch]) for start in starts]


def _measurement(variant: ScoringVariant, images: Tensor) -> Callable[[], Spent]:
    return lambda: spent(lambda: variant.measure(images))


def _print(rows: Sequence[ScorerRow], scene: Scene, job: ScorerJob, facts: dict[str, Any]) -> None:
    cells = [
        [
            row.engine,
            row.precision,
            str(row.batch),
            f"{row.ms_per_frame:.1f}",
            f"{row.frames_per_s:.1f}",
            f"{row.ratio:.2f}",
            f"{row.max_score_difference:.1e}",
            "–" if row.peak_fraction is None else f"{100 * row.peak_fraction:.0f} %",
        ]
        for row in sorted(rows, key=lambda row: row.batch)
    ]
    height, width = scene.settings.input.size
    peaks = ", ".join(f"{name} {value:.0f}" for name, value in facts["peak_gflops"].items())
    notes = [
        f"{machine_line(facts)}. Medians of {job.repeats} rounds in turn, from prepared images in memory to scores and "
        "maps in memory; decoding, resizing and normalising are not in it.",
        "Times as fast as the plain way. Difference: the largest to it, of an image's score (0 to 1) or surprise "
        "(beyond 1 as a share of it). Of peak: "
        f"{operations(scene) / GIGA:.2f} GFLOP a frame of the plain model, beside what this machine did at most in a "
        f"big product or convolution (GFLOP/s: {peaks}). Operations that a way avoids count all the same.",
    ]
    print_markdown(f"{scene.name} at {height}x{width}", COLUMNS, cells, notes)
