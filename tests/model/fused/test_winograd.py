"""Winograd's convolution is the convolution, for every size, padding and tile."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from msflow_stream.model.fused import FusedModel
from msflow_stream.model.fused.winograd import WinogradConvolution, use_winograd
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.pyramid import Pyramid
from pipelines.bench.plain import PlainModel


@settings(deadline=None, max_examples=30)
@given(
    size=st.tuples(st.integers(2, 13), st.integers(2, 13)),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    batch=st.integers(1, 3),
    tile=st.sampled_from([2, 4]),
    padding=st.sampled_from(["zeros", "reflect"]),
    bias=st.booleans(),
)
def test_it_is_the_convolution(
    size: tuple[int, int], channels: tuple[int, int], batch: int, tile: int, padding: str, bias: bool
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(*channels, 3, padding=1, bias=bias, padding_mode=padding).double()  # type: ignore[arg-type]
    images = torch.randn(batch, channels[0], *size, dtype=torch.float64)
    with torch.inference_mode():
        found = WinogradConvolution(convolution, size, tile)(images)
        assert torch.allclose(found, convolution(images), atol=1e-12)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("backbone", "stages", "least"), [("resnet18", (1, 2, 3), 11), ("resnet26", (1, 2), 6)])
def test_a_model_with_it_measures_what_the_plain_one_does(backbone: str, stages: tuple[int, ...], least: int) -> None:
    size = (72, 104)
    pyramid = Pyramid(backbone, stages=stages)
    flow = MSFlow(pyramid.channels, [1, 2, 2][: len(stages)]).eval()
    plain, fused = PlainModel(pyramid, flow, size), FusedModel(pyramid, flow, size)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    replaced = use_winograd(fused, [images])
    assert replaced >= least
    with torch.inference_mode():
        for found, expected in zip(fused(images)[:3], plain(images)[:3], strict=True):
            assert torch.allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("wrong", [{"stride": 2}, {"groups": 2}, {"dilation": 2}, {"padding": 0}, {"kernel_size": 1}])
def test_other_convolutions_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="not a 3x3 convolution"):
        WinogradConvolution(nn.Conv2d(2, 2, **{"kernel_size": 3, "padding": 1} | wrong), (4, 4), 2)
