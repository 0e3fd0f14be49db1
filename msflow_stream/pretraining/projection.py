"""The projection of a stage's channels on the directions in which images differ most, less unequal in size."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from msflow_stream.model.embedded import EmbeddedBackbone

POWER = 0.5  # of the variance: 1 leaves it as it is, 0 makes all features equally large
SMALLEST = 1e-6  # of the largest variance: smaller ones count as this


@dataclass(slots=True)
class Moments:
    """Sums over places of a stage, from which its projection follows."""

    count: int = 0
    channels: Tensor = field(default_factory=lambda: torch.zeros(()))  # D
    squares: Tensor = field(default_factory=lambda: torch.zeros(()))  # D D

    def add(self, channels: Tensor) -> None:
        """Adds places: P D."""
        x = channels.double()
        self.count += len(x)
        self.channels, self.squares = self.channels + x.sum(0), self.squares + x.mT @ x


def observe(model: EmbeddedBackbone, images: Tensor, moments: list[Moments]) -> None:
    """Adds what the stages of `model` see in normalised images."""
    x = model.stem(images)
    for stage, sums in zip(model.stages, moments, strict=True):
        x = stage(x)
        sums.add(x.permute(0, 2, 3, 1).flatten(0, 2))


def project(model: EmbeddedBackbone, moments: list[Moments], gain: float, rng: torch.Generator) -> None:
    """Gives `model` the projections that follow from the moments.

    The strongest principal components of a stage's channels become its features, their variance to the power `POWER`:
    what is large in an image stays larger than details and noise, and a flow need not stretch the small ones by much.
    A random rotation then makes the channels alike, which the flows split in halves.

    Args:
        gain: root mean square of the features.
    """
    for projection, sums in zip(model.projections, moments, strict=True):
        convolution, norm = projection[0], projection[1]  # type: ignore[index]
        mean = sums.channels / sums.count
        covariance = sums.squares / sums.count - mean[:, None] * mean
        size = convolution.out_channels
        variances, directions = torch.linalg.eigh(covariance)  # ascending
        variances = variances[-size:].clamp(min=SMALLEST * float(variances[-1]))
        scales = variances ** ((POWER - 1) / 2)
        matrix = scales[:, None] * directions[:, -size:].mT  # C D
        matrix /= (matrix @ covariance @ matrix.mT).diagonal().mean().sqrt()
        turn, _ = torch.linalg.qr(torch.randn(size, size, generator=rng, dtype=matrix.dtype))
        _set(convolution, norm, turn @ matrix, mean, gain)


def _set(convolution: nn.Conv2d, norm: nn.BatchNorm2d, matrix: Tensor, mean: Tensor, gain: float) -> None:
    """Makes convolution and norm compute `gain * matrix @ (x - mean)`."""
    with torch.no_grad():
        convolution.weight.copy_(matrix[:, :, None, None])
        norm.weight.fill_(gain)
        norm.bias.zero_()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(matrix @ mean)
    norm.running_var.fill_(1 - norm.eps)
