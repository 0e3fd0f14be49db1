"""What becomes of a stage's channels in the end: the directions in which they tell most of what a place looks like."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from msflow_stream.model.embedded import EmbeddedBackbone
from msflow_stream.pretraining.objective import targets

SHARES = (1.0, 1.5, 1.0)  # how much pixels, edges and context count
RIDGE = 1e-3  # of the mean variance of a channel


@dataclass(slots=True)
class Moments:
    """Sums over places of a stage, from which its projection follows: of channels (D) and targets (T)."""

    count: int = 0
    channels: Tensor = field(default_factory=lambda: torch.zeros(()))  # D
    wanted: Tensor = field(default_factory=lambda: torch.zeros(()))  # T
    squares: Tensor = field(default_factory=lambda: torch.zeros(()))  # D D
    products: Tensor = field(default_factory=lambda: torch.zeros(()))  # D T

    def add(self, channels: Tensor, wanted: Tensor) -> None:
        """Counts places: P D and P T."""
        x, y = channels.double(), wanted.double()
        self.count += len(x)
        self.channels, self.wanted = self.channels + x.sum(0), self.wanted + y.sum(0)
        self.squares, self.products = self.squares + x.mT @ x, self.products + x.mT @ y


def observe(model: EmbeddedBackbone, images: Tensor, clean: Tensor, moments: list[Moments]) -> None:
    """Adds what the stages of `model` see in normalised images, beside what there was to see in the clean ones."""
    x = model.stem(images)
    for stage, sums in zip(model.stages, moments, strict=True):
        x = stage(x)
        parts = targets(clean, (x.shape[2], x.shape[3]))
        weighted = [share * part / part.shape[1] ** 0.5 for share, part in zip(SHARES, parts, strict=True)]
        sums.add(_places(x), _places(torch.cat(weighted, 1)))


def project(model: EmbeddedBackbone, moments: list[Moments], gain: float, rng: torch.Generator) -> None:
    """Gives `model` the projections that follow from the moments.

    The targets are predicted from a stage's channels by least squares. The strongest principal components of the
    prediction become the features, with the variance they have: what is large in a picture stays large, and details
    and noise stay small. Features of equal variance found defects as well, and violations far less. A random rotation
    then makes the channels alike, which the flows split in halves.

    Args:
        gain: root mean square of the features.
    """
    for projection, sums in zip(model.projections, moments, strict=True):
        convolution, norm = projection[0], projection[1]  # type: ignore[index]
        mean = sums.channels / sums.count
        covariance = sums.squares / sums.count - mean[:, None] * mean
        ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(mean), dtype=mean.dtype)
        regression = torch.linalg.solve(
            covariance + ridge, sums.products / sums.count - mean[:, None] * sums.wanted / sums.count
        )  # D T
        _, directions = torch.linalg.eigh(regression.mT @ covariance @ regression)  # ascending
        size = convolution.out_channels
        matrix = (regression @ directions[:, -size:]).mT  # C D
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


def _places(x: Tensor) -> Tensor:
    """B C h w to B*h*w C."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)
