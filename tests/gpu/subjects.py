"""What the points check with: frames of a synthetic walkway, and scenes with each of the backbones."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

import torch
from torch import Tensor

from msflow_stream.config.engines import ENGINES, EnginePrecision
from msflow_stream.config.loading import load
from msflow_stream.config.settings import Settings
from msflow_stream.datasets.synthetic import SyntheticScene, default_violations
from msflow_stream.model.packaged import BACKBONE
from msflow_stream.model.pyramid import Pyramid
from msflow_stream.scenes.feature_cache import feature_cache
from msflow_stream.scenes.features import extract
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.scenes.training import FlowFit
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.engines.base import Engine
from msflow_stream.scoring.inference import ImageBatch, Inference
from msflow_stream.types import APPEARANCE_KINDS, Frame
from tests.gpu.report import At
from tests.support.recorder import SimulatedGpu

BACKBONES = (BACKBONE, "mobilenetv2_100", "wide_resnet50_2")
SMALL = "mobilenetv2_100"


def settings_for(at: At, backbone: str = BACKBONE, *overrides: str) -> Settings:
    """Returns settings of a size that suits the device; the weights are random where none are installed."""
    side = 256 if at.cuda else 96
    weights = "pretrained" if backbone == BACKBONE else "random"
    own = (f"model.backbone={backbone}", f"model.weights={weights}", f"input.size=[{side},{side}]", "score.kind=paper")
    return load(overrides=[*own, *overrides])


def new_scene(
    at: At, backbone: str = BACKBONE, *overrides: str, name: str = "gate", pyramid: Pyramid | None = None
) -> Scene:
    """Returns a scene on the CPU with a flow that is not quite the identity; it was not fitted."""
    scene = Scene.new(name, settings_for(at, backbone, *overrides), pyramid)
    generator = torch.Generator().manual_seed(scene.settings.fit.seed)
    with torch.no_grad():
        for value in scene.flow.parameters():
            value += 0.003 * torch.randn(value.shape, generator=generator)
    scene.flow.eval()
    return scene


def fitted(at: At, backbone: str) -> Scene:
    """Returns a scene on the device after a short fit: its scores are about 1, as those of any fitted scene."""
    passes = 24 if at.cuda else 4
    own = (f"fit.passes={passes}", "fit.batch=4", "fit.holdout=0", "fit.learning_rate=2e-3", "fit.precision=float32")
    scene = Scene.new("gate", settings_for(at, backbone, *own)).to(at.device)
    with feature_cache(scene.settings.fit, device=scene.device) as cache:
        *_, footage = extract(scene, [frames(32 if at.cuda else 8)], cache, 0.0)
        for _ in FlowFit(scene, footage).run():
            pass
    scene.flow.eval()
    return scene


def on(scene: Scene, device: torch.device) -> Scene:
    """Returns a copy of a scene on a device."""
    return replace(scene, pyramid=copy.deepcopy(scene.pyramid), flow=copy.deepcopy(scene.flow)).to(device)


@lru_cache(8)
def frames(count: int, size: tuple[int, int] = (320, 240), traffic: int = 0, source: str = "walkway") -> list[Frame]:
    """Returns frames, one a second; a violation passes by in the later ones."""
    walkway = SyntheticScene(*size, Fraction(1), seed=0, traffic_seed=traffic)
    violations = default_violations(float(count))
    images = [walkway.frame(index, violations).image for index in range(count)]
    return [Frame(source, index, index, float(index), None, image) for index, image in enumerate(images)]


def prepared(scene: Scene, count: int, traffic: int = 0) -> Tensor:
    """Returns frames as the CPU prepares them (count 3 H W)."""
    return torch.stack([scene.prepare(frame.pixels) for frame in frames(count, traffic=traffic)])


def measures_by(inference: Inference, scene: Scene, images: Tensor) -> Measures:
    """Returns the scores and maps of prepared images in one batch."""
    return inference.measure_images([ImageBatch(scene, list(images), scene.settings.score)])[0]


def engine_for(at: At, precision: EnginePrecision = "float32") -> Engine:
    """Returns PyTorch's engine; without a GPU, what it does on one, on the CPU and recorded by computing again."""
    if at.cuda:
        return ENGINES["torch"].make(precision)
    engine = SimulatedGpu()
    engine.precision = precision
    return engine


def inference_of(engine: Engine, capacity_bytes: int | None = None) -> EngineInference:
    """Returns an inference that has one engine for all scenes."""
    return EngineInference(lambda _: engine, capacity_bytes=capacity_bytes)


def measures_in_float64(scene: Scene, images: Tensor) -> Measures:
    """Returns what the plain path on the CPU gives with all its numbers in float64."""
    exact = replace(scene, pyramid=copy.deepcopy(scene.pyramid).double(), flow=copy.deepcopy(scene.flow).double())
    parts = [exact.measure(one) for one in images.double().split(4)]
    return Measures(*(torch.cat(values) for values in zip(*parts, strict=True)))


def relative_error(found: Measures, expected: Measures) -> float:
    """Returns the largest difference of a score, to values beyond 1 relative to them."""
    pairs = zip(found[:-1], expected[:-1], strict=True)
    return max(float(((a.double() - b.double()).abs() / b.double().abs().clamp(min=1)).max()) for a, b in pairs)


def spread_errors(found: Measures, expected: Measures) -> dict[str, float]:
    """Returns the largest difference of each kind of score, as a share of that score's spread over the frames."""
    pairs = zip(APPEARANCE_KINDS, found[:-1], expected[:-1], strict=True)
    return {kind: _over_spread(a.double(), b.double()) for kind, a, b in pairs}


def _over_spread(found: Tensor, expected: Tensor) -> float:
    difference, spread = float((found - expected).abs().max()), float(expected.max() - expected.min())
    return difference / spread if spread > 0 else float(difference > 0)


def worst(errors: dict[str, float]) -> str:
    """Returns the errors in words, largest first."""
    ordered: Sequence[tuple[str, float]] = sorted(errors.items(), key=lambda one: -one[1])
    return ", ".join(f"{kind} {value:.2g}" for kind, value in ordered)
