"""Maps and scores against their formulas, written out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from msflow_stream.model.aggregate import anomaly_maps, top_k_mean
from msflow_stream.model.pyramid import Pyramid


def test_without_upsampling_the_maps_are_their_formulas() -> None:
    rng = torch.Generator().manual_seed(0)
    z = [torch.randn(2, 3, 4, 5, generator=rng), torch.randn(2, 6, 4, 5, generator=rng)]
    maps = anomaly_maps(z, (4, 5))
    for image in range(2):
        p = [-0.5 * (one[image].numpy() ** 2).mean(0) for one in z]
        q = p[0] + p[1]
        likelihood = sum(np.exp(one - one.max()) for one in p)
        assert np.allclose(maps.add[image], likelihood.max() - likelihood, atol=1e-6)
        assert np.allclose(maps.mul[image], 1 - np.exp(q - q.max()), atol=1e-6)
        assert np.allclose(maps.surprise[image], -q, atol=1e-6)


def test_upsampling_is_linear_and_keeps_the_corners() -> None:
    z = [torch.tensor([[[[0.0, 2.0]]]]).expand(1, 1, 2, 2)]
    surprise = anomaly_maps(z, (3, 5)).surprise[0]
    assert torch.allclose(surprise, torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0]).expand(3, 5))


def test_a_map_depends_on_its_own_image_only() -> None:
    rng = torch.Generator().manual_seed(0)
    z = [torch.randn(3, 4, 6, 6, generator=rng), torch.randn(3, 4, 3, 3, generator=rng)]
    together, alone = anomaly_maps(z, (12, 12)), anomaly_maps([one[1:2] for one in z], (12, 12))
    assert all(torch.allclose(a[1:2], b, atol=1e-6) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize(("fraction", "count"), [(0.03, 3), (0.0399, 3), (0.001, 1), (1.0, 100)])
def test_the_score_is_the_mean_of_the_largest_values(fraction: float, count: int) -> None:
    values = torch.randperm(100, generator=torch.Generator().manual_seed(0)).float().view(1, 10, 10)
    assert top_k_mean(values, fraction).item() == pytest.approx(sum(range(100 - count, 100)) / count)


@pytest.mark.parametrize(
    ("size", "shape"), [((32, 48), (4, 6)), ((30, 45), (4, 6)), ((33, 41), (5, 6)), ((8, 8), (8, 8))]
)
def test_on_centres_feature_i_is_on_pixel_i_times_the_stride(size: tuple[int, int], shape: tuple[int, int]) -> None:
    z = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    surprise = anomaly_maps([z], size, "centres").surprise[0]
    stride = 1 if size == shape else 8
    assert surprise.shape == size
    for row in range(min(shape[0], (size[0] - 1) // stride + 1)):
        for column in range(min(shape[1], (size[1] - 1) // stride + 1)):
            expected = 0.5 * z[0, 0, row, column] ** 2
            assert torch.isclose(surprise[row * stride, column * stride], expected, atol=1e-6)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv2_100"])
def test_on_centres_a_change_is_where_it_was_made(backbone: str) -> None:
    size, place = (128, 192), torch.tensor([80.0, 136.0])  # far from the first corner
    found: dict[str, list[torch.Tensor]] = {"corners": [], "centres": []}
    plain = torch.zeros(1, 3, *size)
    changed = plain.clone()
    changed[:, :, 76:85, 132:141] = 3.0
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    for seed in range(4):  # random weights look to one side or another; their mean does not
        pyramid = Pyramid(backbone, seed=seed)
        with torch.inference_mode():
            z = [after - before for after, before in zip(pyramid(changed), pyramid(plain), strict=True)]
        for alignment, centroids in found.items():
            heat = anomaly_maps(z, size, alignment).surprise[0]  # type: ignore[arg-type]
            weight = heat / heat.sum()
            centroids.append(torch.stack([(rows * weight).sum(), (columns * weight).sum()]))
    shift = {alignment: torch.stack(centroids).mean(0) - place for alignment, centroids in found.items()}
    assert shift["centres"].abs().max() < 3
    assert shift["corners"].max() > 4
    assert (shift["corners"] > shift["centres"] + 1.5).all()  # to the right and down
