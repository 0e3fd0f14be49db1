"""The variants of scoring prepared images that `bench scorer` compares: plain, unfused, and every engine."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Protocol, get_args

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from msflow_stream.config.engines import ENGINES, EngineName, EnginePrecision
from msflow_stream.model.aggregate import Aggregation, Alignment, anomaly_maps, top_k_mean
from msflow_stream.model.flows import make_plain
from msflow_stream.model.fused.maps import FusedMeasures
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.pyramid import Pyramid
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.inference import SceneBatch
from msflow_stream.types import UserError

log = logging.getLogger(__name__)

PLAIN, UNFUSED = "plain", "unfused"  # unfused: the scene's own modules, which the fit works with


class PlainModel(nn.Module):
    """A scene's model as a plain implementation has it: dense permutations, log-determinants, all maps, batch norms."""

    def __init__(
        self,
        pyramid: Pyramid,
        flow: MSFlow,
        size: tuple[int, int],
        top_k: float = 0.03,
        aggregation: Aggregation = "add",
        alignment: Alignment = "corners",
    ) -> None:
        super().__init__()
        self.pyramid = copy.deepcopy(pyramid)
        self.flow = make_plain(copy.deepcopy(flow))
        self.size, self.top_k, self.aggregation, self.alignment = size, top_k, aggregation, alignment
        self.to(memory_format=torch.contiguous_format)
        self.eval()

    def forward(self, images: Tensor) -> FusedMeasures:
        """Returns scores and maps of normalised images B 3 H W."""
        features = [self.pyramid.pooled(stage) for stage in self.pyramid.backbone(images.contiguous())]
        z, _ = self.flow(features)
        maps = anomaly_maps(z, self.size, self.alignment)
        return FusedMeasures(
            score=top_k_mean(maps.mul, self.top_k),
            surprise=top_k_mean(maps.surprise, self.top_k),
            surprise_mean=maps.surprise.mean((1, 2)),
            map=getattr(maps, self.aggregation).half(),
        )


class Measured(Protocol):
    """The result of a variant for a batch, on the CPU: scores (B) and the map (B H W)."""

    @property
    def score(self) -> Tensor:
        """The paper's score of each image."""

    @property
    def surprise(self) -> Tensor:
        """The surprise of each image."""

    @property
    def map(self) -> Tensor:
        """The map of each image."""


@dataclass(frozen=True, slots=True)
class ScoringVariant:
    """One variant: `measure` takes normalised images (B 3 H W, on the CPU) to where the results can be read."""

    engine: str
    precision: str
    measure: Callable[[Tensor], Measured]


def variants_of(scene: Scene, normal: Sequence[Tensor], names: Sequence[str] = ()) -> Iterator[ScoringVariant]:
    """The plain variant first, then every other that works on this machine, on the scene's device.

    Args:
        scene: what is scored with.
        normal: batches of prepared images (B 3 H W), in which int8 finds the ranges of numbers.
        names: of engines; all if none is named.
    """
    yield ScoringVariant(PLAIN, "float32", _plain(scene))
    yield ScoringVariant(UNFUSED, "float32", scene.measure)
    known = [name for name, info in ENGINES.items() if scene.device.type in info.devices]
    for name in (one for one in known if not names or one in names):
        for precision in get_args(EnginePrecision):
            variant = None if precision == "auto" else _engine_variant(scene, name, precision, normal)
            if variant is not None:
                yield variant


def check_engines(names: Sequence[str]) -> None:
    """Refuses names that no engine has.

    Raises:
        UserError: there is one.
    """
    for name in names:
        if name not in ENGINES:
            raise UserError(f"there is no engine {name!r}, only {', '.join(ENGINES)}")


def _engine_variant(
    scene: Scene, name: EngineName, precision: EnginePrecision, normal: Sequence[Tensor]
) -> ScoringVariant | None:
    """None where the engine is not installed, lacks the precision, or cannot run on this machine."""
    try:
        engine = ENGINES[name].make(precision)
        inference = EngineInference(lambda _: engine, lambda _: normal)
        with redirect_stdout(sys.stderr):  # NNCF draws a progress bar
            inference.prepare(scene)
    except (UserError, RuntimeError) as error:
        log.info("left out: %s %s: %s", name, precision, error)
        return None
    score = scene.settings.score
    return ScoringVariant(
        name,
        precision,
        lambda images: inference.measures([SceneBatch(scene, inference.features(scene, images), score)])[0],
    )


def plain_model(scene: Scene) -> PlainModel:
    """Returns the model that a PyTorch implementation without any thought of speed has."""
    score = scene.settings.score
    size = scene.settings.input.size
    return PlainModel(scene.pyramid, scene.flow, size, score.top_k, score.aggregation, score.alignment)


def operations(scene: Scene) -> int:
    """Returns the operations of the plain model's convolutions and products for a frame; a multiply-add is two."""
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


def _plain(scene: Scene) -> Callable[[Tensor], Measured]:
    model = plain_model(scene)

    def measure(images: Tensor) -> Measured:
        with torch.inference_mode():
            return FusedMeasures(*(value.cpu() for value in model(images.to(scene.device))))

    return measure
