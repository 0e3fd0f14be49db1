"""Maps and scores against their formulas, written out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from msflow_stream.model.aggregate import anomaly_maps, top_k_mean


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
