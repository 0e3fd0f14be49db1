"""Scores and maps from log-likelihoods for inference: the formulas of `aggregate`, as two small matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from msflow_stream.model.aggregate import Aggregation, Alignment, upsampled


class FusedMeasures(NamedTuple):
    """Three scores of a batch (B each) and the map that localises (float16 B H W)."""

    score: Tensor
    surprise: Tensor
    surprise_mean: Tensor
    map: Tensor


class FusedMaps(nn.Module):
    """The network to measures from the log-likelihoods `p_l = -1/2 mean_c z_l^2` (B H_l W_l) of every scale.

    Upsampling is linear and works on rows and columns alone: `up(p_l) = Y_l p_l X_l^T`. So the sum over the scales is
    one product, `[Y_0 Y_1 ..] [p_0 X_0^T; p_1 X_1^T; ..]`, and no scale is ever there at full size. The map `mul`
    grows with the surprise, so that the largest values of both are found in one search.

    Args:
        sizes: (H_l, W_l) of every scale.
        size: (H, W) of the maps.
        top_k: the fraction of the pixels that makes a score.
        aggregation: which map localises.
        alignment: of the features with the image, as in `anomaly_maps`.
    """

    rows: Tensor
    count: int

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]],
        size: tuple[int, int],
        top_k: float,
        aggregation: Aggregation = "add",
        alignment: Alignment = "corners",
    ) -> None:
        super().__init__()
        self.aggregation = aggregation
        self.top_k = top_k
        pixels = size[0] * size[1]
        self.count = max(1, int(top_k * pixels))  # `top_k * height * width` can round to one less than `top_k_mean`'s
        rows = [_upsampling(height, size[0], alignment) for height, _ in sizes]
        self.register_buffer("rows", torch.cat(rows, 1), persistent=False)  # H sum(H_l)
        for scale, (_, width) in enumerate(sizes):
            self.register_buffer(f"columns{scale}", _upsampling(width, size[1], alignment).T, persistent=False)  # W_l W

    def forward(self, log_likelihoods: Sequence[Tensor], areas: Tensor | None = None) -> FusedMeasures:
        """Returns the measures of a batch.

        No step waits for the device, with areas neither.

        Args:
            log_likelihoods: B H_l W_l of every scale.
            areas: bool B H W, with at least one pixel of every image. Scores, and the maxima in the map, are those of
                its pixels alone; around them the map is 0 (see `aggregate.watched`). None: all pixels count.
        """
        outside = None if areas is None else ~areas
        surprise = -self.sum_upsampled(log_likelihoods)  # B H W
        least = _filled(surprise, outside, math.inf).amin((1, 2))  # B
        top = largest(_filled(surprise, outside, -math.inf).flatten(1), self.count, ordered=areas is not None)  # B K
        if self.aggregation == "add":
            # The largest likelihood of a scale is that of its most normal feature: 1 after the subtraction.
            likelihood = self.sum_upsampled([torch.exp(p - p.amax((1, 2), keepdim=True)) for p in log_likelihoods])
            heat = _filled(likelihood, outside, -math.inf).amax((1, 2), keepdim=True) - likelihood
        else:
            heat = 1 - torch.exp(least[:, None, None] - surprise)
        spare = None if areas is None else self._spare(areas)
        score = 1 - _mean(torch.exp(least[:, None] - top), spare)
        mean = _mean(surprise.flatten(1), None if outside is None else outside.flatten(1))
        return FusedMeasures(score, _mean(top, spare), mean, _filled(heat, outside, 0).half())

    def _spare(self, areas: Tensor) -> Tensor:
        """Which of the largest values, from the largest down, are beyond those that `top_k_mean` takes (bool B K)."""
        pixels = areas.sum((1, 2))  # B
        counts = (pixels.double() * self.top_k).long().clamp(min=1)  # what Python makes of the product, too
        return torch.arange(self.count, device=areas.device) >= counts[:, None]

    def sum_upsampled(self, values: Sequence[Tensor]) -> Tensor:
        """Returns `sum_l up(values_l)`: B H_l W_l each to B H W."""
        wide = [value @ self.get_buffer(f"columns{scale}") for scale, value in enumerate(values)]  # B H_l W
        return self.rows @ torch.cat(wide, 1)


def largest(values: Tensor, count: int, ordered: bool = False) -> Tensor:
    """Returns the `count` largest values of every row, B n to B count: the largest first, or in any order.

    On a CPU NumPy parts a row by them in a quarter of the time that PyTorch takes; where many values are the same, as
    outside an area, it is PyTorch that is quicker.
    """
    recorded = (
        torch._C._get_tracing_state() is not None or torch.onnx.is_in_onnx_export() or torch.compiler.is_compiling()
    )
    if recorded or ordered or values.device.type != "cpu":
        return values.topk(count, dim=1, sorted=ordered).values
    parted = np.partition(values.numpy(), -count)[:, -count:]
    return torch.from_numpy(np.sort(parted)).flip(1)  # in one order, so that sums of the same values are the same


def fused_measures(
    z: Sequence[Tensor],
    size: tuple[int, int],
    top_k: float,
    aggregation: Aggregation = "add",
    alignment: Alignment = "corners",
) -> FusedMeasures:
    """Returns measures of latent variables (B C_l H_l W_l). `FusedMaps` does so and keeps what depends on sizes."""
    maps = FusedMaps([(one.shape[2], one.shape[3]) for one in z], size, top_k, aggregation, alignment)
    measures: FusedMeasures = maps.to(z[0])([-0.5 * one.square().mean(1) for one in z])
    return measures


def _filled(values: Tensor, where: Tensor | None, value: float) -> Tensor:
    """The values with another one in places."""
    return values if where is None else values.masked_fill(where, value)


def _mean(values: Tensor, without: Tensor | None) -> Tensor:
    """The mean of every row, without those values: B n to B."""
    if without is None:
        return values.mean(1)
    return values.masked_fill(without, 0).sum(1) / (values.shape[1] - without.sum(1))


def _upsampling(count: int, length: int, alignment: Alignment) -> Tensor:
    """The matrix (length x count) that takes a row of `count` features to one of `length` pixels."""
    unit = torch.eye(count, dtype=torch.float64)[:, :, None]  # count count 1
    return upsampled(unit, (length, 1), alignment)[:, :, 0].T.float().contiguous()
