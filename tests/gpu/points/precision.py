"""The scores of each backbone in each precision, beside float64 on the CPU."""

from __future__ import annotations

import torch

from msflow_stream.config.engines import EnginePrecision
from msflow_stream.config.settings import EngineSettings
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.scoring.engine_choice import EngineChooser
from msflow_stream.scoring.engine_trial import BOUND
from msflow_stream.scoring.inference import PlainInference
from tests.gpu.report import At
from tests.gpu.subjects import (
    BACKBONES,
    SMALL,
    engine_for,
    fitted,
    inference_of,
    measures_by,
    measures_in_float64,
    new_scene,
    on,
    prepared,
    relative_error,
    spread_errors,
    worst,
)

COUNT = 8  # frames
EXACT = 1e-4  # what float32 may differ from float64, as a share of a score
IN_TURN: tuple[EnginePrecision, ...] = ("tf32", "bf16", "fp16")


def check(at: At) -> None:
    """Checks every backbone."""
    if not at.cuda:
        at.skip("tf32 and fp16", "needs CUDA")
    for backbone in BACKBONES:
        with at.case(f"{backbone} float64 on the CPU", needs=3) as case:
            scene = fitted(at, backbone) if at.cuda or backbone == SMALL else new_scene(at, backbone)
            images = prepared(scene, COUNT if at.cuda else 4, traffic=1)
            expected = measures_in_float64(on(scene, torch.device("cpu")), images)
            spread = ", ".join(f"{float(one.max() - one.min()):.3g}" for one in expected[:-1])
            case.holds(all(bool(torch.isfinite(one).all()) for one in expected[:-1]), f"spreads of the scores {spread}")
        _check_backbone(at, on(scene, at.device), images, expected)


def _check_backbone(at: At, scene: Scene, images: torch.Tensor, expected: Measures) -> None:
    backbone = scene.settings.model.backbone
    with at.case(f"{backbone} plain") as case:
        case.below(
            relative_error(measures_by(PlainInference(), scene, images), expected), EXACT, "IEEE float32 differs by"
        )
    with at.case(f"{backbone} torch float32") as case:
        found = measures_by(inference_of(engine_for(at)), scene, images)
        case.below(relative_error(found, expected), EXACT, "the engine's float32 differs by")
    if not at.cuda and backbone != SMALL:
        return  # not fitted, whose scores are far from any fitted scene's
    for precision in IN_TURN if at.cuda else IN_TURN[1:2]:
        with at.case(f"{backbone} torch {precision}") as case:
            found = measures_by(inference_of(engine_for(at, precision)), scene, images)
            by_kind = spread_errors(found, expected)
            case.measured(max(by_kind.values()), f"errors over the spread of the scores: {worst(by_kind)}; at most")
    with at.case(f"{backbone} auto", needs=2) as case:
        engine = EngineChooser(EngineSettings())(scene)
        by_kind = spread_errors(measures_by(inference_of(engine), scene, images), expected)
        case.below(max(by_kind.values()), BOUND, f"chose {engine}, whose error over the spread is")
