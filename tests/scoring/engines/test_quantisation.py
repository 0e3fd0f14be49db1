"""Eight bits: ranges from normal frames, found once per weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from msflow_stream.config.settings import EngineSettings
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_choice import EngineChooser
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import UserError
from tests.support.footage import frames, small_settings


def test_ranges_are_found_once_for_the_same_weights(tmp_path: Path) -> None:
    scene, asked = Scene.new("gate", small_settings("score.kind=paper")), []

    def normal(one: Scene) -> list[torch.Tensor]:
        asked.append(one.name)
        return [torch.stack([one.prepare(frame.image) for frame in frames(4)])]

    chooser = EngineChooser(EngineSettings(precision="int8"), tmp_path)
    first = [score.surprise for score in Scorer(scene, "cpu", None, EngineInference(chooser, normal))(frames(4))]
    assert asked == ["gate", "gate"]  # for its features, and for its flow
    again = [score.surprise for score in Scorer(scene, "cpu", None, EngineInference(chooser))(frames(4))]
    assert again == pytest.approx(first, rel=1e-5)
    assert len(list((tmp_path / "int8").glob("*.xml"))) == 2


def test_without_normal_frames_it_is_said_how_to_give_them(tmp_path: Path) -> None:
    scene = Scene.new("gate", small_settings("score.kind=paper"))
    inference = EngineInference(EngineChooser(EngineSettings(precision="int8"), tmp_path))
    with pytest.raises(UserError, match=r"int8 needs normal footage of gate once: .* --calibration FOOTAGE"):
        Scorer(scene, "cpu", None, inference)
