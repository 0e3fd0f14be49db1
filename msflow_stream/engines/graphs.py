"""The two networks of a scene as engines take them: tensors in, a tuple of tensors out."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from msflow_stream.model.fused import FusedFlow, FusedPyramid
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.pyramid import Pyramid


class FeatureGraph(nn.Module):
    """Normalised images (B 3 H W) to the features of every scale: what scenes with one pyramid share."""

    def __init__(self, pyramid: Pyramid) -> None:
        super().__init__()
        self.pyramid = FusedPyramid(pyramid)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.pyramid(images))


class LikelihoodGraph(nn.Module):
    """Features (B C_l H_l W_l) to the log-likelihoods of every scale (B H_l W_l): what a scene has of its own."""

    def __init__(self, flow: MSFlow, sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.flow = FusedFlow(flow.eval(), sizes)

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.flow.log_likelihoods(features))
