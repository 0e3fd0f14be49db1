"""From latent variables to anomaly maps and scores: pure functions (section "multi-scale fusion" of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Aggregation = Literal["add", "mul"]


class Maps(NamedTuple):
    """Anomaly maps of a batch, each B H W at input size.

    `add` localises (the paper's pixel AUROC), `mul` is what the image score is made of, `surprise` is the
    negative log-likelihood without the per-image maximum: the only one that is absolute.
    """

    add: Tensor
    mul: Tensor
    surprise: Tensor


def anomaly_maps(z: Sequence[Tensor], size: tuple[int, int]) -> Maps:
    """Maps at `size` (height, width) from the latent variables of every scale.

    With `p_l = -1/2 mean_c z_l^2`: add = max - sum_l up(exp(p_l - max p_l)), q = sum_l up(p_l),
    mul = 1 - exp(q - max q), surprise = -q. Every maximum is over one image alone.
    """
    log_likelihoods = [-0.5 * (one**2).mean(1) for one in z]  # B H_l W_l
    likelihood = torch.stack([_upsample(torch.exp(p - _peak(p)), size) for p in log_likelihoods]).sum(0)
    q = torch.stack([_upsample(p, size) for p in log_likelihoods]).sum(0)
    return Maps(add=_peak(likelihood) - likelihood, mul=1 - torch.exp(q - _peak(q)), surprise=-q)


def depth(maps: Maps) -> Tensor:
    """`max q - q` (B H W): orders pixels as the map `mul` does, but does not crowd near 1 where floats end."""
    return maps.surprise - maps.surprise.amin((1, 2), keepdim=True)


def top_k_mean(maps: Tensor, fraction: float) -> Tensor:
    """Mean of the largest `int(fraction * H * W)` values (at least one) of every map: B H W -> B."""
    flat = maps.flatten(1)
    count = max(1, int(fraction * flat.shape[1]))
    return flat.topk(count, dim=1).values.mean(1)


def _upsample(p: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(p[:, None], size=size, mode="bilinear", align_corners=True)[:, 0]


def _peak(maps: Tensor) -> Tensor:
    return maps.amax((1, 2), keepdim=True)  # B 1 1
