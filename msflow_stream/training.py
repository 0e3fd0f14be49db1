"""The fit: features of normal frames into a cache, passes of MSFlow over it, then what normal scores look like."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from msflow_stream.batches import batched
from msflow_stream.config import FitSettings, ScoreKind, Settings
from msflow_stream.features import FeatureCache
from msflow_stream.model.msflow import MSFlow, negative_log_likelihood
from msflow_stream.scene import Calibration, Scene
from msflow_stream.smoothing import smooth
from msflow_stream.types import Frame, UserError

log = logging.getLogger(__name__)

DECAY = 0.33  # of the learning rate at each milestone
WARMUP_START = 0.1  # of the learning rate
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
MAP_QUANTILES = (0.99, 0.9999)  # of normal map values: where the overlay's heat begins, and half of where it is full
EXTRACTION_BATCH = 8


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the data: its number from 1, mean loss per feature value, and that of the held-out frames."""

    number: int
    loss: float
    held_out_loss: float | None


@dataclass(slots=True)
class Footage:
    """Features of normal frames, and which of them are kept out of the fit."""

    cache: FeatureCache
    origin: list[tuple[str, int, float]] = field(default_factory=list)  # source, index, time of every frame
    held_out: list[int] = field(default_factory=list)  # positions in the cache, ascending

    @property
    def fitted(self) -> list[int]:
        """Positions in the cache that the fit may use."""
        return sorted(set(range(len(self.origin))) - set(self.held_out))

    @property
    def sources(self) -> dict[str, int]:
        """Frames per source."""
        return {name: len(list(frames)) for name, frames in groupby(self.origin, key=lambda o: o[0])}


def extract(scene: Scene, sources: Iterable[Iterable[Frame]], cache: FeatureCache, holdout: float) -> Iterator[Footage]:
    """Fills the cache from the frames of every source, yielding the growing footage after every batch.

    The last `holdout` of each source's frames is held out: the part a model of the rest has not seen.
    """
    footage = Footage(cache)
    for source in sources:
        start = len(footage.origin)
        for frames in batched(source, EXTRACTION_BATCH):
            images = torch.stack([scene.prepare(frame.image) for frame in frames])
            cache.append(scene.pyramid(images.to(scene.device)))
            footage.origin += [(frame.source, frame.index, frame.time) for frame in frames]
            yield footage
        kept = len(footage.origin) - int(holdout * (len(footage.origin) - start))
        footage.held_out += range(kept, len(footage.origin))


def fit_flow(scene: Scene, footage: Footage, on_batch: Callable[[int], None] = lambda frames: None) -> Iterator[Pass]:
    """Fits the scene's flow, yielding after every pass; whoever stops early keeps the passes done.

    Args:
        scene: its flow is changed in place.
        footage: from `extract`.
        on_batch: is told the number of frames of every batch.

    Raises:
        UserError: no frames, or a loss that is not finite.
    """
    if not footage.fitted:
        raise UserError("no frames to fit on: the sources hold too few")
    settings = scene.settings.fit
    parameters = [p for p in scene.flow.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate)
    for number in range(settings.passes):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * learning_rate_factor(number, settings)
        complete = {name: value.clone() for name, value in scene.flow.state_dict().items()}
        try:
            loss = _one_pass(scene, footage, optimizer, number, on_batch)
        except BaseException:
            scene.flow.load_state_dict(complete)
            raise
        yield Pass(number + 1, loss, mean_loss(scene.flow, footage))


def _one_pass(
    scene: Scene, footage: Footage, optimizer: torch.optim.Optimizer, number: int, on_batch: Callable[[int], None]
) -> float:
    """One pass over the fitted frames in the order of pass `number`; the mean loss per feature value."""
    settings, flow = scene.settings.fit, scene.flow
    parameters = optimizer.param_groups[0]["params"]
    flow.train()
    total, values = 0.0, 0
    for step, positions in enumerate(_shuffled(footage.fitted, settings, number)):
        features = [f.to(scene.device) for f in footage.cache.batch(positions)]
        loss = negative_log_likelihood(*flow(features)).mean()
        if not torch.isfinite(loss):
            raise UserError(f"the loss is not finite in pass {number + 1}, batch {step + 1}: lower fit.learning_rate")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimizer.step()
        total += loss.item() * len(positions)
        values = _values(features)
        on_batch(len(positions))
    return total / len(footage.fitted) / values


def fit_scene(
    name: str, sources: Iterable[Iterable[Frame]], settings: Settings | None = None, device: str = "cpu"
) -> Scene:
    """Fits a scene on the frames of normal footage, in one call.

    Args:
        name: of the scene.
        sources: readers, or any iterables of frames that are already sampled.
        settings: all defaults if None.
        device: such as cpu or cuda.

    Raises:
        UserError: sources without frames, weights that cannot be had.
    """
    scene = Scene.new(name, settings or Settings()).to(device)
    with feature_cache(scene.settings.fit) as cache:
        footage = Footage(cache)
        for footage in extract(scene, sources, cache, scene.settings.fit.holdout):
            log.debug("%d frames extracted", len(footage.origin))
        for done in fit_flow(scene, footage):
            log.info("pass %d: loss %.4f", done.number, done.loss)
        scene.calibration = calibrate(scene, footage)
    return scene


def feature_cache(settings: FitSettings, folder: Path | None = None) -> FeatureCache:
    """A cache as the settings ask for it."""
    limit = None if settings.cache_memory is None else int(settings.cache_memory * 2**30)
    return FeatureCache(getattr(torch, settings.cache_dtype), limit, folder)


def learning_rate_factor(number: int, settings: FitSettings) -> float:
    """What the learning rate is multiplied with in pass `number` (from 0).

    The paper's schedule: linear warm-up from 0.1 over the first 12 of 100 passes, x0.33 at 70 and at 90.
    """
    warmup = round(settings.warmup * settings.passes)
    rising = WARMUP_START + (1 - WARMUP_START) * number / warmup if number < warmup else 1.0
    return rising * DECAY ** sum(number >= round(m * settings.passes) for m in settings.milestones)


def mean_loss(flow: MSFlow, footage: Footage) -> float | None:
    """Loss per feature value of the held-out frames, None without any."""
    if not footage.held_out:
        return None
    flow.eval()
    device = next(flow.parameters()).device
    total, values = 0.0, 0
    with torch.inference_mode():
        for positions in batched(footage.held_out, EXTRACTION_BATCH):
            features = [f.to(device) for f in footage.cache.batch(positions)]
            total += float(negative_log_likelihood(*flow(features)).sum())
            values = _values(features)
    return total / len(footage.held_out) / values


def calibrate(scene: Scene, footage: Footage) -> Calibration:
    """Scores of the held-out frames (of all frames, where none are held out), summarised."""
    positions = footage.held_out or footage.fitted
    kinds: tuple[ScoreKind, ...] = ("paper", "surprise", "surprise_mean")
    scores: list[list[float]] = [[], [], []]
    peaks: list[np.ndarray] = []
    for part in batched(positions, EXTRACTION_BATCH):
        measures = scene.measure_features(footage.cache.batch(part))
        for values, measured in zip(scores, measures[:3], strict=True):
            values += measured.tolist()
        peaks += [np.quantile(one.float().numpy(), MAP_QUANTILES) for one in measures.map]
    low, high = np.median(peaks, axis=0)[0], np.max(peaks, axis=0)[1]
    return Calibration(
        frames=len(footage.held_out),
        quantiles={
            kind: {str(q): float(v) for q, v in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)}
            for kind, values in zip(kinds, scores, strict=True)
        },
        thresholds={
            kind: _highest_smoothed(values, [footage.origin[p] for p in positions], scene.settings.score.smoothing)
            for kind, values in zip(kinds, scores, strict=True)
        },
        map_range=(float(low), float(high)),
    )


def _highest_smoothed(values: Sequence[float], origin: Sequence[tuple[str, int, float]], seconds: float) -> float:
    highest = -np.inf
    for _, group in groupby(zip(origin, values, strict=True), key=lambda pair: pair[0][0]):
        pairs = list(group)
        highest = max(highest, *smooth([o[2] for o, _ in pairs], [v for _, v in pairs], seconds))
    return float(highest)


def _shuffled(positions: Sequence[int], settings: FitSettings, number: int) -> Iterator[list[int]]:
    """Batches in an order that depends on the seed and the pass only, so that a resumed fit sees the same."""
    order = np.random.default_rng((settings.seed, number)).permutation(len(positions))
    for part in batched(order.tolist(), settings.batch):
        yield [positions[i] for i in part]


def _values(features: Sequence[Tensor]) -> int:
    return sum(f[0].numel() for f in features)
