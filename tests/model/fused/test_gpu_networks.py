"""The networks of a GPU compute what the plain ones do, as far as their type can tell, and do little beside that."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from msflow_stream.model.fused import FusedFlow, FusedPyramid
from msflow_stream.model.fused.gpu import GpuFlow, GpuPyramid
from msflow_stream.model.fused.gpu.tails import ReflectedConvolution
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.pyramid import Pyramid, load_weights
from tests.model.fused.test_fused import difference, noise, pyramid, shaken
from tests.support.fake_gpu import CUDA, FakeGpu, fake_cuda

CHANNELS, SIZES = (8, 12, 20), ((12, 9), (6, 5), (3, 3))
NAMED = ("tf_efficientnet_lite0", "mobilenetv2_100", "resnet18", "wide_resnet50_2")  # in README and docs
sides = st.integers(1, 9)


def likelihoods(flow: MSFlow, features: Sequence[Tensor]) -> list[Tensor]:
    """The log-likelihoods of the plain flow in double precision."""
    return [-0.5 * z.square().mean(1) for z in copy.deepcopy(flow).double()([one.double() for one in features])[0]]


@settings(deadline=None, max_examples=8)
@given(
    scales=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4), sides, sides), min_size=1, max_size=4),
    condition=st.sampled_from([0, 4, 8]),
    fusion=st.booleans(),
    norm=st.sampled_from(["layer", "batch", "none"]),
    clamp=st.floats(0.5, 3),
    batch=st.integers(1, 3),
)
def test_the_flow_gives_the_log_likelihoods_of_the_plain_one(
    scales: list[tuple[int, int, int, int]], condition: int, fusion: bool, norm: str, clamp: float, batch: int
) -> None:
    channels = [2 * half if fusion else half + 1 for half, *_ in scales]
    blocks, sizes = [n for _, n, *_ in scales], [(h, w) for *_, h, w in scales]
    flow = shaken(MSFlow(channels, blocks, condition, clamp, fusion, norm, seed=3), 3)  # type: ignore[arg-type]
    x = [noise(batch, c, *size) for c, size in zip(channels, sizes, strict=True)]
    with torch.inference_mode():
        for found, expected in zip(GpuFlow(flow, sizes, torch.float32)(x), likelihoods(flow, x), strict=True):
            assert found.dtype == torch.float32
            assert difference(found, expected) < 1e-5


def small_flow() -> tuple[MSFlow, list[Tensor]]:
    flow = shaken(MSFlow(CHANNELS, (2, 3, 4), 8, seed=1), 1)
    return flow, [noise(3, c, *size) for c, size in zip(CHANNELS, SIZES, strict=True)]


def test_what_a_network_is_made_from_stays_as_it_is() -> None:
    flow, x = small_flow()
    plain = pyramid("tf_efficientnet_lite0")
    before = [{name: value.clone() for name, value in one.state_dict().items()} for one in (flow, plain)]
    given = [one.clone() for one in x]
    GpuPyramid(plain, torch.bfloat16)
    with torch.inference_mode():
        GpuFlow(flow, SIZES, torch.float32)(x)
    for kept, one in zip(before, (flow, plain), strict=True):
        assert all(torch.equal(kept[name], value) for name, value in one.state_dict().items())
    assert all(torch.equal(one, other) for one, other in zip(x, given, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_lower_precision_costs_less_than_casts_on_the_way_do(dtype: torch.dtype) -> None:
    flow, x = small_flow()
    with torch.inference_mode():
        expected = likelihoods(flow, x)
        own = GpuFlow(flow, SIZES, dtype)(x)
        with torch.autocast("cpu", dtype):
            cast = FusedFlow(flow, SIZES).log_likelihoods(x)
    for mine, other, exact in zip(own, cast, expected, strict=True):
        errors = [float((one - exact).square().mean().sqrt() / exact.std()) for one in (mine, other)]
        assert errors[0] < errors[1]
        assert errors[0] < 4 * torch.finfo(dtype).eps


def test_the_flow_can_be_compiled_as_a_whole() -> None:
    own, x = GpuFlow(MSFlow([8], [1], 0, fusion=False), [(4, 3)], torch.float32), [noise(2, 8, 4, 3)]
    with torch.no_grad():
        compiled: Any = torch.compile(own, backend="aot_eager", fullgraph=True)
        for found, expected in zip(compiled(x), own(x), strict=True):
            assert difference(found, expected) < 1e-6


@pytest.mark.parametrize(
    ("backbone", "padding"),
    [
        *((name, how) for name in ("resnet18", "tf_efficientnet_lite0") for how in ("reflect", "zeros")),
        *((name, "reflect") for name in ("mobilenetv2_100", "mobilenetv3_small_050", "densenet121")),
    ],
)
def test_the_features_are_as_exact_as_those_of_the_pyramid(backbone: str, padding: str) -> None:
    plain = pyramid(backbone, padding, stages=(2, 3) if backbone == "mobilenetv3_small_050" else (1, 2, 3))
    images = noise(2, 3, 67, 90)
    with torch.inference_mode():
        exact = copy.deepcopy(plain).double()(images.double())
        for own, other, expected in zip(GpuPyramid(plain, torch.float32)(images), plain(images), exact, strict=True):
            assert own.is_contiguous(memory_format=torch.channels_last)
            assert difference(own, expected) < 3 * difference(other, expected) + 2e-6


@pytest.mark.parametrize("pool", [("avg", 5), ("max", 3), ("none", 3)])
def test_the_features_are_pooled_as_those_of_the_pyramid(pool: tuple[str, int]) -> None:
    plain = pyramid("resnet18", pool=pool[0], pool_kernel=pool[1], stages=(1, 2))
    images = noise(1, 3, 64, 96)
    for found, expected in zip(GpuPyramid(plain, torch.float32)(images), plain(images), strict=True):
        assert difference(found, expected) < 1e-5


def test_features_in_a_lower_precision_are_as_exact_as_with_casts_on_the_way() -> None:
    plain = Pyramid("tf_efficientnet_lite0", load_weights("tf_efficientnet_lite0", "pretrained"))
    images = F.interpolate(noise(2, 3, 12, 16), (96, 128), mode="bilinear")
    with torch.inference_mode():
        own, exact = GpuPyramid(plain, torch.bfloat16)(images), plain(images)
        with torch.autocast("cpu", torch.bfloat16):
            cast = FusedPyramid(plain)(images)
    for mine, other, expected in zip(own, cast, exact, strict=True):
        assert mine.dtype == torch.bfloat16
        assert F.mse_loss(mine.float(), expected) < 1.5 * F.mse_loss(other.float(), expected)


class Untraceable(nn.Module):
    """A backbone whose way depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1, padding_mode="reflect")
        self.norm, self.second = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, 2, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.norm(self.first(images))
        return [self.second(features if features.mean() > 100 else features.relu())]


def test_a_backbone_that_cannot_be_traced_computes_the_same() -> None:
    plain = copy.deepcopy(pyramid("resnet18"))
    plain.backbone = shaken(Untraceable(), 2)
    images = noise(2, 3, 32, 40)
    with torch.inference_mode():
        own = GpuPyramid(plain, torch.float32)
        assert isinstance(own.backbone.first, ReflectedConvolution)
        assert difference(own(images)[0], plain(images)[0]) < 1e-5
        assert difference(GpuPyramid(plain, torch.bfloat16)(images)[0], plain(images)[0]) < 0.02


class Branches(nn.Module):
    """Sums and activations of tensors that are read elsewhere too, and a convolution that serves twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.left, self.other = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.right = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.last, self.act = copy.deepcopy(self.right), nn.SiLU()

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.first(images)
        y = F.relu(x) + x  # x is read twice
        z = self.act(self.twice(y)) + self.twice(F.relu6(y))
        left, right = self.other(z), self.right(z)
        both = torch.add(left, right, alpha=2)  # not a plain sum
        wide = self.left(z.mean((2, 3), keepdim=True)) + z  # of two sizes
        return [both.relu() + wide, self.other.bias + z.mean((2, 3)), F.relu(self.last(z.relu()) + z)]


def test_what_only_looks_like_a_tail_is_left_alone() -> None:
    plain, images = copy.deepcopy(pyramid("resnet18", pool="none")), noise(2, 3, 12, 14)
    plain.backbone = shaken(Branches(), 4)
    with torch.inference_mode():
        for found, expected in zip(GpuPyramid(plain, torch.float32)(images), plain(images), strict=True):
            assert difference(found, expected) < 1e-5


class Beside(FakeGpu):
    """A fake GPU that counts the bytes of all but the convolutions; what is changed in place is read and written."""

    def _note(self, func: Any, args: Any, kwargs: dict[str, Any], tensors: Sequence[Tensor], found: Any) -> None:
        before = self.traffic
        super()._note(func, args, kwargs, tensors, found)
        if "convolution" in str(func):
            self.traffic = before
        elif not func._schema.returns:
            pairs = zip(func._schema.arguments, args, strict=False)
            self.traffic += sum(one.nbytes for known, one in pairs if known.alias_info is not None)


def networks(backbone: str, size: tuple[int, int], blocks: Sequence[int] = (2, 5, 8)) -> tuple[GpuPyramid, GpuFlow]:
    plain = Pyramid(backbone)
    sizes = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in (8, 16, 32)]
    return GpuPyramid(plain, torch.bfloat16), GpuFlow(MSFlow(plain.channels, blocks), sizes, torch.bfloat16)


@pytest.mark.parametrize("backbone", NAMED[:-1])
def test_nothing_on_a_gpu_waits_or_copies(backbone: str) -> None:
    made = networks(backbone, (96, 128), (1, 2, 1))
    with FakeGpu() as gpu, torch.inference_mode():
        features, flow = map(fake_cuda, made)
        for batch in (1, 3, 8):
            found = flow(features(torch.empty(batch, 3, 96, 128, device=CUDA)))
            assert [one.shape for one in found] == [(batch, 12, 16), (batch, 6, 8), (batch, 3, 4)]
            assert {(one.device, one.dtype) for one in found} == {(CUDA, torch.float32)}
    assert gpu.synchronisations == gpu.uploads == gpu.downloads == []
    assert gpu.layout_copies == []


def test_a_wide_network_moves_a_third_of_what_casts_on_the_way_do() -> None:
    made = networks(NAMED[-1], (512, 512))
    with Beside() as gpu, torch.inference_mode():
        features, flow = map(fake_cuda, made)
        gpu.begin()
        flow(features(torch.empty(32, 3, 512, 512, device=CUDA)))
    assert gpu.synchronisations == gpu.layout_copies == []
    assert gpu.traffic < 18.3e9  # 55.1e9 by FusedPyramid and FusedFlow under autocast, with 33 layout copies
    assert gpu.calls["msflow.finish.default"] == 41  # one per convolution but two pairs that are summed, and the images
