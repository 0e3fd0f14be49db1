"""`bench scorer`: every variant to score beside a plain one, and how near the limit each comes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch

from msflow_stream.datasets.synthetic import SyntheticScene
from msflow_stream.files import write_json
from msflow_stream.machine import choose_device
from msflow_stream.scenes.scene import Scene

from ..terminal.progress import number, print_markdown
from .kernels import KernelRow, profile_kernels
from .machine import GIGA, Spent, in_turn, machine_facts, machine_line, median, spent
from .peaks import Load, PeakKey, Peaks
from .plain import operations
from .variants import (
    PLAIN,
    Images,
    Measured,
    ScoringVariant,
    Variants,
    check_engines,
    check_profiled,
    in_words,
    largest_difference,
)

log = logging.getLogger(__name__)

COMPARED = 8  # images at least, whose scores are compared
NORMAL = 16  # other images, in which int8 finds its ranges
COLUMNS = ["engine", "precision", "batch", "ms/frame", "frames/s", "times as fast", "max difference", "of peak"]
FAILED = Spent(float("inf"), float("inf"))
Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerJob:
    """The request to `bench scorer`.

    Attributes:
        batches: frames at a time.
        repeats: rounds that count, of all variants in turn.
        engines: beside the plain and the unfused variant; all if none is named.
        transfers: whether images come from memory and results are put there; else both stay on the device.
        profiled: variants whose kernels are listed, as ENGINE:PRECISION.
        load: what the machine's peak is measured with; None: what suits the device.
    """

    batches: Sequence[int] = (1, 4)
    repeats: int = 9
    device: str = "auto"
    out: Path | None = None
    engines: Sequence[str] = ()
    transfers: bool = True
    profiled: Sequence[str] = ()
    load: Load | None = None


@dataclass(frozen=True, slots=True)
class ScorerRow:
    """One variant at one batch size; a figure is None where it could not be measured.

    Attributes:
        transfers: whether they are in the figures.
        ratio: how many times as fast as the plain variant in float32, at the same batch size.
        max_score_difference: to that variant, as of `largest_difference`.
        peak_fraction: operations of the plain model by the time of this one, as a share of the machine's measured
            peak in this precision; None where torch cannot measure that, too.
        error: why there are no figures, in words.
    """

    backbone: str
    input_size: tuple[int, int]
    engine: str
    precision: str
    batch: int
    transfers: bool
    ms_per_frame: float | None = None
    frames_per_s: float | None = None
    ratio: float | None = None
    max_score_difference: float | None = None
    peak_fraction: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """The kernels of one variant for a scene and a batch, those that take the most time first."""

    scene: str
    engine: str
    precision: str
    batch: int
    kernels: list[KernelRow]


def bench_scorer(scenes: Sequence[Scene], job: ScorerJob) -> list[ScorerRow]:
    """Times every variant to score prepared images for each of the scenes, prints a table for each, and writes JSON.

    Raises:
        UserError: an engine of a name that there is not, or not on this device.
    """
    device = choose_device(job.device)
    check_engines(job.engines, device)  # before anything takes time
    check_profiled(job.profiled, device)
    peaks = Peaks(device, job.load)
    rows: list[ScorerRow] = []
    profiles: list[Profile] = []
    for scene in scenes:
        measured = SceneBench(scene.to(device), job)
        found = measured.rows(peaks)
        _print(found, scene, job, machine_facts(device, peaks.speeds))
        rows += found
        profiles += measured.profiles()
        del measured
        torch.compiler.reset()  # what it made for this scene
    for one in profiles:
        _print_profile(one)
    if job.out is not None:
        facts = machine_facts(device, peaks.speeds)
        figures = {"rows": [asdict(row) for row in rows], "profiles": [asdict(one) for one in profiles]}
        write_json(job.out, {"machine": facts, **figures})
    return rows


def prepared_images(scene: Scene, count: int) -> Images:
    """Returns frames of synthetic footage, one a second, as they are and as the scene prepares them."""
    height, width = scene.settings.input.size
    footage = SyntheticScene(width, height, Fraction(1), seed=0, traffic_seed=0)
    frames = [footage.frame(index).image for index in range(count)]
    return Images(torch.stack([scene.prepare(frame) for frame in frames]), frames)


class SceneBench:
    """All variants of scoring with one scene, each at all batch sizes. What fails is kept as an error in words.

    Args:
        scene: where it will be scored with.
        job: the request.
    """

    def __init__(self, scene: Scene, job: ScorerJob) -> None:
        self._scene, self._job = scene, job
        count = max(COMPARED, *job.batches)
        images = prepared_images(scene, count + NORMAL)
        self._images, normal = images[:count], torch.split(images.prepared[count:], job.batches[0])
        variants = Variants(scene, normal, job.transfers).all(job.engines)
        self._cases = {(one.engine, one.precision, batch): one for one in variants for batch in job.batches}
        self._errors: dict[Key, str] = {key: one.error for key, one in self._cases.items() if one.error is not None}
        self._results: dict[Key, list[Measured]] = {}
        self._measure: dict[Key, Callable[[], object]] = {}
        for key in [key for key in self._cases if key not in self._errors]:
            self._try(key)

    def rows(self, peaks: Peaks) -> list[ScorerRow]:
        """Returns the figures of all variants, timed in turn with the machine's peaks."""
        timed: dict[Key | PeakKey, Callable[[], Spent]] = {key: partial(self._timed, key) for key in self._measure}
        taken = in_turn({**timed, **peaks.measurements}, self._job.repeats, self._scene.name)
        peaks.add({key: taken[key] for key in peaks.measurements})
        seconds = {key: median(taken[key]).wall / key[2] for key in self._measure if key not in self._errors}
        work = operations(self._scene)
        return [self._row(key, seconds, work, peaks.speeds.get(key[1])) for key in self._cases]

    def profiles(self) -> list[Profile]:
        """Returns the kernels of the variants that were asked for, at the largest batch."""
        found = []
        for name in self._job.profiled:
            engine, _, precision = name.partition(":")
            key = (engine, precision, max(self._job.batches))
            if key in self._errors or key not in self._measure:
                log.warning("no profile of %s: %s", name, self._errors.get(key, "it was not measured"))
                continue
            kernels = profile_kernels(self._measure[key], self._scene.device)
            found.append(Profile(self._scene.name, *key, kernels))
        return found

    def _try(self, key: Key) -> None:
        """Scores all images, and makes ready what is timed."""
        variant, batch = self._cases[key], key[2]
        try:
            self._results[key] = _results(variant, self._images, batch)
            given = variant.given(self._images[:batch])
        except Exception as error:  # whatever a runtime raises, out of memory among it
            self._fail(key, error)
            return
        self._measure[key] = partial(variant.measure, given)

    def _timed(self, key: Key) -> Spent:
        if key in self._errors:
            return FAILED
        try:
            return spent(self._measure[key])
        except Exception as error:
            self._fail(key, error)
            return FAILED

    def _fail(self, key: Key, error: Exception) -> None:
        self._errors[key] = in_words(error)
        log.warning("%s %s, batches of %d: %s", *key, self._errors[key])
        if self._scene.device.type == "cuda":
            torch.cuda.empty_cache()

    def _row(self, key: Key, seconds: dict[Key, float], work: int, peak: float | None) -> ScorerRow:
        settings, plain = self._scene.settings, (PLAIN, "float32", key[2])
        facts = settings.model.backbone, settings.input.size, *key, self._job.transfers
        if key not in seconds:
            return ScorerRow(*facts, error=self._errors[key])
        compared = plain in seconds
        return ScorerRow(
            *facts,
            ms_per_frame=1000 * seconds[key],
            frames_per_s=1 / seconds[key],
            ratio=seconds[plain] / seconds[key] if compared else None,
            max_score_difference=largest_difference(self._results[key], self._results[plain]) if compared else None,
            peak_fraction=None if peak is None else work / seconds[key] / peak,
        )


def _results(variant: ScoringVariant, images: Images, batch: int) -> list[Measured]:
    """Results for all images; the last batch is filled up with earlier ones, as an engine may know one size only."""
    starts = [min(start, len(images) - batch) for start in range(0, len(images), batch)]
    return [variant.measure(variant.given(images[start : start + batch])) for start in starts]


def _print(rows: Sequence[ScorerRow], scene: Scene, job: ScorerJob, facts: dict[str, Any]) -> None:
    ordered = sorted(rows, key=lambda row: row.batch)
    cells = [
        [
            row.engine,
            row.precision,
            str(row.batch),
            "failed" if row.error is not None else number(row.ms_per_frame, 1 if facts["gpu"] is None else 2),
            number(row.frames_per_s, 1),
            number(row.ratio, 2),
            "–" if row.max_score_difference is None else f"{row.max_score_difference:.1e}",
            "–" if row.peak_fraction is None else f"{100 * row.peak_fraction:.0f} %",
        ]
        for row in ordered
    ]
    height, width = scene.settings.input.size
    peaks = ", ".join(f"{name} {value:.0f}" for name, value in facts["peak_gflops"].items())
    way = (
        "from prepared images in memory to scores and maps in memory"
        if job.transfers
        else "from prepared images on the device to scores and maps that stay there"
    )
    notes = [
        f"{machine_line(facts)}. Medians of {job.repeats} rounds in turn, {way}; decoding, resizing and normalising "
        "are not in it.",
        "Times as fast as the plain way in float32. Difference: the largest to it, of an image's score (0 to 1) or "
        "surprise (beyond 1 as a share of it). Of peak: "
        f"{operations(scene) / GIGA:.2f} GFLOP a frame of the plain model, beside what this machine did at most in a "
        f"big product or convolution (GFLOP/s: {peaks}; copies: {facts['copy_gb_per_s']:.0f} GB/s read and written). "
        "Operations that a way avoids count all the same.",
        *(f"{row.engine} {row.precision}, batches of {row.batch}: {row.error}" for row in ordered if row.error),
    ]
    print_markdown(f"{scene.name} at {height}x{width}", COLUMNS, cells, notes)


def _print_profile(profile: Profile) -> None:
    cells = [
        [row.name[:90].replace("|", "/"), f"{row.milliseconds:.3f}", f"{row.calls:g}", f"{100 * row.share:.1f} %"]
        for row in profile.kernels
    ]
    title = f"{profile.scene}, {profile.engine} {profile.precision}, a batch of {profile.batch}: where the time goes"
    print_markdown(title, ["kernel", "ms", "calls", "share"], cells, [])
