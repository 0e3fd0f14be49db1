"""What is particular to devices: float32 is IEEE's, and work for a GPU is done on that GPU, whichever is current."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from msflow_stream.config.engines import ENGINES
from msflow_stream.machine import choose_device, device_memory, tf32
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.scorer import Scorer
from tests.support.footage import frames, small_settings

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]


def convolution_error(device: torch.device) -> float:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 256, 32, 32, generator=generator), torch.randn(256, 256, 3, 3, generator=generator)
    expected = F.conv2d(x.double(), weight.double(), padding=1)
    found = F.conv2d(x.to(device), weight.to(device), padding=1).cpu().double()
    return float((found - expected).abs().max() / expected.abs().max())


def test_float32_is_that_of_ieee_but_where_tf32_is_asked_for() -> None:
    device = choose_device("cuda")
    assert convolution_error(device) < 1e-5
    if torch.cuda.get_device_capability(device) >= (8, 0):
        with tf32():
            assert convolution_error(device) > 1e-5
    assert convolution_error(device) < 1e-5


def test_memory_is_that_of_the_device() -> None:
    before = device_memory(choose_device("cuda"))
    kept = torch.zeros(2**20, device="cuda")
    after = device_memory(choose_device("cuda"))
    assert before is not None
    assert after is not None
    assert after - before >= kept.nbytes


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_scene_on_the_second_gpu_scores_there() -> None:
    scene, engine = Scene.new("gate", small_settings("score.kind=paper")), ENGINES["torch"].make("float32")
    expected = [score.surprise for score in Scorer(Scene.new("gate", small_settings()), "cpu")(frames(8))]
    found = [score.surprise for score in Scorer(scene, "cuda:1", None, EngineInference(lambda _: engine))(frames(8))]
    assert found == pytest.approx(expected, rel=1e-4)
