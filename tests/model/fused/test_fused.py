"""The fused model computes what the plain one does, for random weights and every setting, and can be exported."""

from __future__ import annotations

import copy
from functools import cache
from typing import TypeVar

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from msflow_stream.model.aggregate import Aggregation, Alignment, anomaly_maps, top_k_mean
from msflow_stream.model.fused import FusedFlow, FusedModel, FusedPyramid, fused_measures
from msflow_stream.model.fused.maps import largest
from msflow_stream.model.fused.pyramid import fold_batch_norms
from msflow_stream.model.fused.winograd import use_winograd
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.pyramid import Padding, Pyramid, load_weights
from pipelines.bench.plain import PlainModel

TOLERANCE = 1e-4  # of the largest value
HALF = 2**-10  # of a map: two float16 beside each other
Module = TypeVar("Module", bound=nn.Module)
sides = st.integers(1, 9)


def difference(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found.double() - expected.double()).abs().max() / expected.double().abs().max().clamp(min=1e-6))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shaken(model: Module, seed: int) -> Module:
    """The model with random values wherever a new one has ones and zeros."""
    for name, value in model.state_dict().items():
        drawn = noise(*value.shape, seed=seed + len(name)) if value.is_floating_point() else value
        if name.endswith(("global_scale", "global_offset", "bias", "running_mean")):
            value += 0.3 * drawn
        elif name.endswith(("running_var", "ln.weight", "norm.weight")):
            value *= (0.3 * drawn).exp()
        elif name.endswith("weight") and value.ndim == 4:
            value *= 1.5
    return model.eval()


@cache
def pyramid(backbone: str, padding: str = "reflect", **keywords: object) -> Pyramid:
    model = Pyramid(backbone, padding=padding, **keywords)  # type: ignore[arg-type]
    shaken(model.backbone, 3)
    return model


def test_the_largest_values_are_those_of_a_search_by_torch() -> None:
    values = noise(3, 500)
    values[1, 7], values[2] = float("nan"), 1.0
    for count in (1, 15, 500):
        found, expected = largest(values, count).sort(1).values, values.topk(count, 1).values.sort(1).values
        assert torch.equal(found.nan_to_num(9.0), expected.nan_to_num(9.0))


@settings(deadline=None, max_examples=25)
@given(
    scales=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4), sides, sides), min_size=1, max_size=4),
    condition=st.sampled_from([0, 4, 8]),
    fusion=st.booleans(),
    norm=st.sampled_from(["layer", "batch", "none"]),
    clamp=st.floats(0.5, 3),
    batch=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_the_fused_flow_gives_the_z_of_the_flow(
    scales: list[tuple[int, int, int, int]],
    condition: int,
    fusion: bool,
    norm: str,
    clamp: float,
    batch: int,
    seed: int,
) -> None:
    channels = [2 * half if fusion else half + 1 for half, *_ in scales]
    blocks, sizes = [n for _, n, *_ in scales], [(h, w) for *_, h, w in scales]
    flow = shaken(MSFlow(channels, blocks, condition, clamp, fusion, norm, seed), seed)  # type: ignore[arg-type]
    x = [noise(batch, c, *size, seed=seed) for c, size in zip(channels, sizes, strict=True)]
    with torch.inference_mode():
        expected, fused = flow(x)[0], FusedFlow(flow, sizes)
        for found, log_likelihood, z in zip(fused(x), fused.log_likelihoods(x), expected, strict=True):
            assert difference(found, z) < TOLERANCE
            assert difference(log_likelihood, -0.5 * z.square().mean(1)) < TOLERANCE


@settings(deadline=None, max_examples=25)
@given(
    scales=st.lists(st.tuples(st.integers(1, 3), sides, sides), min_size=1, max_size=4),
    size=st.tuples(st.integers(9, 70), st.integers(9, 70)),
    top_k=st.floats(0.001, 1),
    aggregation=st.sampled_from(["add", "mul"]),
    alignment=st.sampled_from(["corners", "centres"]),
    spread=st.sampled_from([0.1, 1, 30]),
)
@example(scales=[(1, 1, 2)], size=(31, 9), top_k=1 / 3, aggregation="add", alignment="corners", spread=1)  # 93 pixels
def test_the_fused_measures_are_those_of_the_maps(
    scales: list[tuple[int, int, int]],
    size: tuple[int, int],
    top_k: float,
    aggregation: Aggregation,
    alignment: Alignment,
    spread: float,
) -> None:
    z = [spread * noise(2, *shape) for shape in scales]
    maps = anomaly_maps(z, size, alignment)
    found = fused_measures(z, size, top_k, aggregation, alignment)
    assert difference(found.score, top_k_mean(maps.mul, top_k)) < TOLERANCE
    assert difference(found.surprise, top_k_mean(maps.surprise, top_k)) < TOLERANCE
    assert difference(found.surprise_mean, maps.surprise.mean((1, 2))) < TOLERANCE
    assert found.map.dtype == torch.float16
    expected = maps.add if aggregation == "add" else maps.mul
    assert (found.map - expected).abs().max() < TOLERANCE + HALF * expected.abs().max()


@pytest.mark.parametrize(
    ("backbone", "padding"),
    [
        *((name, how) for name in ("resnet18", "mobilenetv2_100") for how in ("reflect", "zeros")),
        ("resnet26", "reflect"),
        ("mobilenetv3_small_050", "reflect"),
        ("efficientnet_b0", "reflect"),
        ("tf_efficientnet_lite0", "reflect"),
        ("tf_efficientnet_lite0", "zeros"),
        ("densenet121", "reflect"),
    ],
)
def test_the_fused_pyramid_gives_the_features_of_the_pyramid(backbone: str, padding: str) -> None:
    stages = (2, 3) if backbone == "mobilenetv3_small_050" else (1, 2, 3)
    plain = copy.deepcopy(pyramid(backbone, padding, stages=stages)).double()  # random layers amplify what is rounded
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    images = noise(2, 3, 67, 90).double()
    with torch.inference_mode():
        for found, expected in zip(FusedPyramid(plain)(images), plain(images), strict=True):
            assert difference(found, expected) < 1e-10
    assert all(torch.equal(before[name], value) for name, value in plain.state_dict().items())


@pytest.mark.parametrize("padding", ["reflect", "zeros"])
def test_real_weights_keep_their_features_in_single_precision(padding: Padding) -> None:
    plain = Pyramid("tf_efficientnet_lite0", load_weights("tf_efficientnet_lite0", "pretrained"), padding=padding)
    images = noise(2, 3, 67, 90)
    with torch.inference_mode():
        for found, expected in zip(FusedPyramid(plain)(images), plain(images), strict=True):
            assert difference(found, expected) < 1e-5


class Twice(nn.Module):
    """One convolution that meets images of two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 96, 3, padding=1), nn.BatchNorm2d(96)
        self.deep = nn.Conv2d(96, 96, 3, padding=1)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.deep(self.norm(self.convolution(one))) for one in (images, images[..., ::2, ::2])]


def test_a_layer_that_serves_two_sizes_is_folded_once_and_left_to_itself() -> None:
    plain, images = shaken(Twice(), 1), noise(2, 3, 32, 48)
    fused = fold_batch_norms(copy.deepcopy(plain))
    assert use_winograd(fused, [images]) == 0
    with torch.inference_mode():
        for found, expected in zip(fused(images), plain(images), strict=True):
            assert difference(found, expected) < TOLERANCE


@pytest.mark.parametrize("backbone", ["resnet18", "resnet26", "mobilenetv2_100", "efficientnet_b0"])
def test_no_batch_norm_is_left(backbone: str) -> None:
    assert not any(isinstance(module, nn.BatchNorm2d) for module in FusedPyramid(pyramid(backbone)).modules())


def test_mobile_networks_reflect_before_they_widen() -> None:
    plain = pyramid("mobilenetv2_100")
    fused = FusedPyramid(plain)
    padded: list[list[int]] = [[], []]
    for channels, model in zip(padded, (plain, fused), strict=True):
        convolutions = (m for m in model.modules() if isinstance(m, nn.Conv2d) and m.padding_mode == "reflect")
        channels += [m.in_channels for m in convolutions if any(m.padding)]
    assert max(padded[0]) == 576
    assert max(padded[1]) == 32


@pytest.mark.parametrize("pool", [("avg", 5), ("max", 3), ("none", 3)])
def test_the_fused_pyramid_pools_as_the_pyramid(pool: tuple[str, int]) -> None:
    plain = pyramid("resnet18", pool=pool[0], pool_kernel=pool[1], stages=(1, 2))
    images = noise(1, 3, 64, 96)
    for found, expected in zip(FusedPyramid(plain)(images), plain(images), strict=True):
        assert difference(found, expected) < TOLERANCE


def models(size: tuple[int, int], **keywords: str) -> tuple[PlainModel, FusedModel]:
    features = pyramid("resnet18")
    flow = shaken(MSFlow(features.channels, [1, 2, 2], seed=1), 1)
    return PlainModel(features, flow, size, **keywords), FusedModel(features, flow, size, **keywords)  # type: ignore[arg-type]


@pytest.mark.parametrize("aggregation", ["add", "mul"])
@pytest.mark.parametrize("size", [(64, 96), (75, 121)])
def test_the_fused_model_measures_what_the_plain_one_does(aggregation: str, size: tuple[int, int]) -> None:
    plain, fused = models(size, aggregation=aggregation, alignment="centres")
    images = noise(3, 3, *size)
    with torch.inference_mode():
        found, expected = fused(images), plain(images)
    for one, other in zip(found[:3], expected[:3], strict=True):
        assert difference(one, other) < TOLERANCE
    assert difference(found.map, expected.map) < TOLERANCE + HALF


def test_a_fused_score_does_not_depend_on_the_other_images() -> None:
    _, fused = models((64, 96))
    images = noise(4, 3, 64, 96)
    with torch.inference_mode():
        together, alone = fused(images), [fused(image[None]) for image in images]
    for values, *ones in zip(together, *alone, strict=True):
        assert difference(torch.cat(ones), values) < TOLERANCE + HALF * (values.dtype == torch.float16)


def test_a_traced_model_takes_batches_of_another_size() -> None:
    _, fused = models((64, 96))
    with torch.no_grad():
        traced = torch.jit.trace(fused, noise(2, 3, 64, 96))
        images = noise(5, 3, 64, 96, seed=1)
        for found, expected in zip(traced(images), fused(images), strict=True):
            assert difference(found, expected) < TOLERANCE + HALF * (expected.dtype == torch.float16)


def test_an_exported_model_takes_batches_of_another_size() -> None:
    _, fused = models((64, 96))
    batch = {"images": {0: torch.export.Dim("batch", min=1, max=64)}}
    with torch.no_grad():
        exported = torch.export.export(fused, (noise(2, 3, 64, 96),), dynamic_shapes=batch).module()
        images = noise(5, 3, 64, 96, seed=1)
        for found, expected in zip(exported(images), fused(images), strict=True):
            assert difference(found, expected) < TOLERANCE + HALF * (expected.dtype == torch.float16)
