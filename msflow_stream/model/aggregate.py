"""Anomaly maps and scores from latent variables: pure functions (section "multi-scale fusion" of the paper)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Aggregation = Literal["add", "mul"]
Alignment = Literal["corners", "centres"]


class Maps(NamedTuple):
    """Anomaly maps of a batch, each B H W at input size.

    `add` localises (the paper's pixel AUROC), `mul` is what the image score is made of, `surprise` is the
    negative log-likelihood without the per-image maximum: the only one that is absolute.
    """

    add: Tensor
    mul: Tensor
    surprise: Tensor


def anomaly_maps(z: Sequence[Tensor], size: tuple[int, int], alignment: Alignment = "corners") -> Maps:
    """Returns maps at `size` (height, width) from the latent variables of every scale.

    With `p_l = -1/2 mean_c z_l^2`: add = max - sum_l up(exp(p_l - max p_l)), q = sum_l up(p_l),
    mul = 1 - exp(q - max q), surprise = -q. Every maximum is over one image alone.

    `alignment` says where `up` puts a feature. "corners" is the paper's: the corners of the feature map lie on those of
    the image, so that everything else is moved to the right and down, by up to a stride at the far corner. "centres"
    puts feature i of a map of stride s on pixel i s, where the convolutions that made it were centred.
    """
    log_likelihoods = [-0.5 * (one**2).mean(1) for one in z]  # B H_l W_l
    likelihood = torch.stack([upsampled(torch.exp(p - _peak(p)), size, alignment) for p in log_likelihoods]).sum(0)
    q = torch.stack([upsampled(p, size, alignment) for p in log_likelihoods]).sum(0)
    return Maps(add=_peak(likelihood) - likelihood, mul=1 - torch.exp(q - _peak(q)), surprise=-q)


def depth(maps: Maps) -> Tensor:
    """Returns `max q - q` (B H W), in the order of the map `mul`, but not crowded near 1 where floats end."""
    return maps.surprise - maps.surprise.amin((1, 2), keepdim=True)


def watched(maps: Maps, area: Tensor) -> Maps:
    """Returns the pixels of `area` (bool H W) in one image's maps (H W each), as an image of their own: 1 1 n each.

    Its maxima are theirs: the formulas of `anomaly_maps`, of `sum_l up(exp(p_l - max p_l))` and of q.
    """
    add, surprise = (one[area][None, None] for one in (maps.add, maps.surprise))
    return Maps(add - add.min(), mul=1 - torch.exp(surprise.min() - surprise), surprise=surprise)


def top_k_mean(maps: Tensor, fraction: float) -> Tensor:
    """Returns the mean of the largest `int(fraction * H * W)` values (at least one) of every map: B H W -> B."""
    flat = maps.flatten(1)
    count = max(1, int(fraction * flat.shape[1]))
    return flat.topk(count, dim=1).values.mean(1)


def _between_corners(p: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(p[:, None], size=size, mode="bilinear", align_corners=True)[:, 0]


def _on_centres(p: Tensor, size: tuple[int, int]) -> Tensor:
    """Feature i on pixel i s; what lies behind the last feature has its value."""
    spans = [(count - 1) * stride_of(length, count) + 1 for length, count in zip(size, p.shape[1:], strict=True)]
    between = F.interpolate(p[:, None], size=spans, mode="bilinear", align_corners=True)
    below, right = (max(0, length - span) for length, span in zip(size, spans, strict=True))
    return F.pad(between, (0, right, 0, below), mode="replicate")[:, 0, : size[0], : size[1]]


def stride_of(length: int, count: int) -> int:
    """Returns the pixels from one of `count` features to the next, along a side of `length` pixels: a power of two."""
    return 1 << max(0, round(math.log2(length / count)))


def upsampled(p: Tensor, size: tuple[int, int], alignment: Alignment) -> Tensor:
    """Returns `up` of `anomaly_maps`: B H_l W_l to B H W."""
    return (_between_corners if alignment == "corners" else _on_centres)(p, size)


def _peak(maps: Tensor) -> Tensor:
    return maps.amax((1, 2), keepdim=True)  # B 1 1
