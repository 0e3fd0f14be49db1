"""The ways to score prepared images that `bench scorer` compares: plain, unfused, fused, and every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from msflow_stream.model.fused import FusedMeasures, FusedModel
from msflow_stream.model.plain import PlainModel
from msflow_stream.scene import Scene

PLAIN, UNFUSED, FUSED = "plain", "unfused", "fused"


class Measured(Protocol):
    """What every way gives for a batch, each kind on the CPU: scores (B) and the map (B H W)."""

    @property
    def score(self) -> Tensor: ...
    @property
    def surprise(self) -> Tensor: ...
    @property
    def map(self) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Way:
    """One way: `measure` takes normalised images (B 3 H W, on the CPU) to where the results can be read."""

    engine: str
    precision: str
    measure: Callable[[Tensor], Measured]


def ways_of(scene: Scene) -> Iterator[Way]:
    """Every way that this machine has for the scene, on its device; the plain one first."""
    yield Way(PLAIN, "float32", _eager(plain_model(scene), scene.device))
    yield Way(UNFUSED, "float32", scene.measure)
    yield Way(FUSED, "float32", _eager(_fused_model(scene), scene.device))


def plain_model(scene: Scene) -> PlainModel:
    """What a PyTorch implementation without any thought of speed computes."""
    score = scene.settings.score
    size = scene.settings.input.size
    return PlainModel(scene.pyramid, scene.flow, size, score.top_k, score.aggregation, score.alignment)


def operations(scene: Scene) -> int:
    """Of the plain model's convolutions and products for one frame; a multiplication and an addition are two."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        plain_model(scene)(torch.zeros(1, 3, *scene.settings.input.size, device=scene.device))
    return int(counter.get_total_flops())


def largest_difference(found: Sequence[Measured], expected: Sequence[Measured]) -> float:
    """The largest difference of an image's score (between 0 and 1) or surprise, to values beyond 1 relative to them."""
    differences = []
    for one, other in zip(found, expected, strict=True):
        for value, right in ((one.score, other.score.double()), (one.surprise, other.surprise.double())):
            differences.append(float(((value - right).abs() / right.abs().clamp(min=1)).max()))
    return max(differences)


def _fused_model(scene: Scene) -> FusedModel:
    score = scene.settings.score
    size = scene.settings.input.size
    return FusedModel(scene.pyramid, scene.flow, size, score.top_k, score.aggregation, score.alignment)


def _eager(model: Callable[[Tensor], FusedMeasures], device: torch.device) -> Callable[[Tensor], Measured]:
    def measure(images: Tensor) -> Measured:
        with torch.inference_mode():
            return FusedMeasures(*(value.cpu() for value in model(images.to(device))))

    return measure
