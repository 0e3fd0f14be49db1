"""Every ablation of the paper is one setting: each fits and scores, and what cannot be is refused at once."""

from __future__ import annotations

import math

import pytest
import torch

from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.training import fit_scene
from msflow_stream.types import UserError
from tests.support.footage import frames, small_settings

ABLATIONS = [
    "model.stages=[1]",
    "model.stages=[2,3]",
    "model.stages=[1,2,3,4]",
    "model.pool=max",
    "model.pool=none",
    *(f"model.pool_kernel={kernel}" for kernel in (1, 3, 5, 7)),
    "model.backbone=resnet34",
    "model.backbone=resnet50",
    "model.backbone=resnext50_32x4d",
    "model.backbone=wide_resnet50_2",
    "model.blocks=[2,3]",
    "model.condition_channels=0",
    "model.fusion=false",
    "model.norm=batch",
    "model.norm=none",
    "model.padding=zeros",
    "score.aggregation=mul",
    *(f"score.top_k={k}" for k in (0.01, 0.1)),
    *(f"score.kind={kind}" for kind in ("paper", "surprise", "surprise_mean")),
    *(f"input.resize={resize}" for resize in ("area", "lanczos", "box", "bilinear")),
]
BLOCKS = {"model.stages=[1]": "model.blocks=[1]", "model.stages=[1,2,3,4]": "model.blocks=[1,1,1,1]"}


@pytest.mark.parametrize("setting", ABLATIONS)
def test_an_ablation_fits_and_scores(setting: str) -> None:
    further = [BLOCKS[setting]] if setting in BLOCKS else []
    settings = small_settings(setting, "fit.passes=1", "fit.batch=4", *further)
    scene = fit_scene("ablation", [frames(8)], settings)
    measures = scene.measure(torch.stack([scene.prepare(frame.image) for frame in frames(2)]))
    assert measures.map.shape == (2, 64, 96)
    assert all(torch.isfinite(values).all() for values in measures)
    assert scene.calibration is not None
    assert all(math.isfinite(threshold) for threshold in scene.calibration.thresholds.values())


def test_settings_of_the_score_change_what_they_name_and_nothing_else() -> None:
    scene = fit_scene("gate", [frames(8)], small_settings("fit.passes=1"))
    images = torch.stack([scene.prepare(frame.image) for frame in frames(2)])
    add = scene.measure(images)
    mul = scene.measure(images, small_settings("score.aggregation=mul").score)
    sharp = scene.measure(images, small_settings("score.top_k=0.01").score)
    assert not torch.equal(add.map, mul.map)
    assert torch.equal(add.score, mul.score)
    assert (sharp.score > add.score).all()  # the mean of fewer, larger values
    assert torch.equal(add.surprise_mean, sharp.surprise_mean)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["model.backbone=swin_tiny_patch4_window7_224"], "cannot be fitted on an input of 64x96"),
        (
            ["model.backbone=swin_tiny_patch4_window7_224", "input.size=[224,224]", "model.padding=zeros"],
            "it is no CNN",
        ),
        (["model.backbone=vit_tiny_patch16_224"], "has no stage 1"),
        (["model.backbone=resnet18", "input.size=[32,32]", "model.stages=[4]", "model.blocks=[1]"], "32x32"),
    ],
)
def test_what_no_model_can_be_is_refused_with_the_reason(settings: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Scene.new("impossible", small_settings(*settings))
