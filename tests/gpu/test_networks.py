"""The networks of a GPU, with its kernels, give there what they give on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from msflow_stream.machine import choose_device
from msflow_stream.model.fused.gpu import GpuFlow, GpuPyramid
from msflow_stream.model.fused.kernels import operation
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.pyramid import Pyramid

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]

CLOSE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}  # of the largest value
CHANNELS, SIZES = (24, 40, 80), ((24, 18), (12, 9), (6, 5))


def assert_close(found: Sequence[Tensor], expected: Sequence[Tensor], dtype: torch.dtype) -> None:
    for mine, right in zip(found, expected, strict=True):
        difference = (mine.cpu().double() - right.double()).abs().max() / right.double().abs().max()
        assert float(difference) < CLOSE[dtype]


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def on_gpu(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).to(choose_device("cuda"))


def test_there_are_kernels_for_this_gpu() -> None:
    pytest.importorskip("triton")
    assert operation._launchers(torch.device("cuda", 0)) is not None


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "mobilenetv2_100", "resnet18", "wide_resnet50_2"])
def test_a_pyramid_gives_the_features_of_the_cpu(backbone: str, dtype: torch.dtype) -> None:
    plain = Pyramid(backbone)
    images = noise(3, 3, 96, 128)
    with torch.inference_mode():
        expected = plain(images)
        found = on_gpu(GpuPyramid(plain, dtype))(images.cuda())
    assert all(one.dtype == dtype for one in found)
    assert_close(found, expected, dtype)


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_flow_gives_the_log_likelihoods_of_the_cpu(batch: int, dtype: torch.dtype) -> None:
    flow = MSFlow(CHANNELS, (2, 3, 4), 16, seed=1).eval()
    features = [noise(batch, c, *size) for c, size in zip(CHANNELS, SIZES, strict=True)]
    with torch.inference_mode():
        expected = [-0.5 * z.square().mean(1) for z in flow(features)[0]]
        model = on_gpu(GpuFlow(flow, SIZES, dtype))
        found = model([one.cuda().to(dtype) for one in features])
    assert all(one.dtype == torch.float32 for one in found)
    assert_close(found, expected, dtype)
