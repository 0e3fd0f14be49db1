"""The fused measures within areas: those of the plain maps, image by image."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.model.aggregate import Aggregation, Alignment, anomaly_maps
from msflow_stream.model.fused import FusedMaps
from msflow_stream.scenes.scene import Scene
from tests.support.fake_gpu import CUDA, FakeGpu, fake_cuda
from tests.support.footage import small_settings

SIZE = (24, 40)
SCALES = ((4, 12, 20), (6, 6, 10), (3, 3, 5))  # C H W
SHAPES = [shape[1:] for shape in SCALES]


def latent(count: int, seed: int, spread: float = 1.0) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [spread * torch.randn(count, *shape, generator=rng) for shape in SCALES]


def log_likelihoods(z: list[Tensor]) -> list[Tensor]:
    return [-0.5 * one.square().mean(1) for one in z]


def some_areas(kinds: list[str], seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    areas = torch.zeros(len(kinds), *SIZE, dtype=torch.bool)
    for area, kind in zip(areas, kinds, strict=True):
        if kind == "whole":
            area[:] = True
        elif kind == "box":
            area[5:17, 8:31] = True
        elif kind == "scattered":
            area[:] = torch.rand(SIZE, generator=rng) < 0.3
        area.view(-1)[int(torch.randint(area.numel(), (), generator=rng))] = True  # of "pixel", all
    return areas


@pytest.fixture(scope="module")
def blank() -> Scene:
    return Scene.new("gate", small_settings())


@settings(deadline=None, max_examples=60)
@given(
    kinds=st.lists(st.sampled_from(["whole", "box", "scattered", "pixel"]), min_size=1, max_size=4),
    seed=st.integers(0, 999),
    top_k=st.floats(0.001, 1),
    aggregation=st.sampled_from(["add", "mul"]),
    alignment=st.sampled_from(["corners", "centres"]),
    spread=st.sampled_from([0.1, 1, 30]),
)
@example(["pixel"], 0, 0.001, "add", "corners", 1)
@example(["whole", "pixel"], 1, 1.0, "mul", "centres", 30)
def test_measures_within_areas_are_those_of_the_plain_maps(
    blank: Scene,
    kinds: list[str],
    seed: int,
    top_k: float,
    aggregation: Aggregation,
    alignment: Alignment,
    spread: float,
) -> None:
    z, areas = latent(len(kinds), seed, spread), some_areas(kinds, seed)
    score = ScoreSettings(top_k=top_k, aggregation=aggregation, alignment=alignment)
    expected = blank.measure_maps(anomaly_maps(z, SIZE, alignment), score, areas)
    found = FusedMaps(SHAPES, SIZE, top_k, aggregation, alignment)(log_likelihoods(z), areas)
    for mine, one in zip(found[:3], expected[:3], strict=True):
        assert torch.allclose(mine, one, rtol=1e-4, atol=1e-5)
    assert torch.allclose(found.map.float(), expected.map.float(), rtol=2**-10, atol=1e-4)
    assert not found.map[~areas].any()
    assert found.map.dtype == torch.float16


@pytest.mark.parametrize("aggregation", ["add", "mul"])
def test_a_whole_area_gives_exactly_what_none_gives_whatever_is_beside_it(aggregation: Aggregation) -> None:
    maps, p = FusedMaps(SHAPES, SIZE, 0.03, aggregation), log_likelihoods(latent(4, 0))
    plain, areas = maps(p), some_areas(["whole", "pixel", "whole", "box"], 0)
    for found, expected in zip(maps(p, areas), plain, strict=True):
        assert torch.equal(found[::2], expected[::2])
    for found, expected in zip(maps(p, torch.ones_like(areas)), plain, strict=True):
        assert torch.equal(found, expected)


@given(st.floats(0.0001, 1), st.integers(1, 960))
@settings(deadline=None, max_examples=300)
@example(1 / 3, 93)
@example(0.29, 100)  # 28.999999999999996
def test_as_many_values_count_as_python_makes_of_the_share(top_k: float, pixels: int) -> None:
    area = torch.arange(960).view(1, *SIZE) < pixels
    assert (~FusedMaps(SHAPES, SIZE, top_k)._spare(area)).sum() == max(1, int(top_k * pixels))


@pytest.mark.parametrize("extreme", [-1e30, -300.0, 0.0])
def test_the_most_extreme_places_do_not_count_outside_the_area(extreme: float) -> None:
    p = log_likelihoods(latent(2, 5))
    changed = [one.clone() for one in p]
    for one in changed:
        one[:, :, -1] = extreme  # the last column, which reaches no pixel left of the middle
    areas = torch.zeros(2, *SIZE, dtype=torch.bool)
    areas[0, 3:20, 2:18], areas[1, 4, 7] = True, True
    maps = FusedMaps(SHAPES, SIZE, 0.1, "mul")
    for found, expected in zip(maps(changed, areas), maps(p, areas), strict=True):
        assert torch.allclose(found, expected, rtol=1e-6, atol=1e-7)
        assert found.isfinite().all()


@pytest.mark.parametrize("aggregation", ["add", "mul"])
@pytest.mark.parametrize("within", [False, True])
def test_nothing_waits_for_the_gpu(aggregation: Aggregation, within: bool) -> None:
    with FakeGpu() as gpu:
        maps = fake_cuda(FusedMaps(SHAPES, SIZE, 0.03, aggregation))
        areas = torch.empty(3, *SIZE, dtype=torch.bool, device=CUDA) if within else None
        found = maps([torch.empty(3, *shape, device=CUDA) for shape in SHAPES], areas)
        assert {one.device for one in found} == {CUDA}
    assert gpu.synchronisations == gpu.uploads == gpu.downloads == []


def test_one_graph_without_breaks_holds_all_of_it() -> None:
    maps, p = FusedMaps(SHAPES, SIZE, 0.03), log_likelihoods(latent(3, 0))
    areas = some_areas(["whole", "pixel", "box"], 0)
    compiled = torch.compile(maps, backend="eager", fullgraph=True)
    for found, expected in zip(compiled(p, areas), maps(p, areas), strict=True):
        assert torch.allclose(found, expected, rtol=1e-6, atol=1e-7)
