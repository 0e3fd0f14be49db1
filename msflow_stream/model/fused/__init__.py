"""A scene's model for inference: the same function as the plain path, rewritten for speed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from msflow_stream.model.aggregate import Aggregation, Alignment
from msflow_stream.model.fused.flow import FusedFlow
from msflow_stream.model.fused.maps import FusedMaps, FusedMeasures, fused_measures
from msflow_stream.model.fused.pyramid import FusedPyramid
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.pyramid import Pyramid

__all__ = ["FusedFlow", "FusedMaps", "FusedMeasures", "FusedModel", "FusedPyramid", "feature_sizes", "fused_measures"]


class FusedModel(nn.Module):
    """The network from normalised images (B 3 H W) of one size to three scores (B each) and a map (float16 B H W).

    Equal to pyramid, flow, `anomaly_maps` and `top_k_mean` one after another up to rounding. It can be traced,
    exported and compiled: no step depends on the values.

    Args:
        pyramid: shared between models if it is a FusedPyramid, else fused here.
        flow: stays as it is.
        size: (H, W) of the images and the maps.
        top_k, aggregation, alignment: as in the settings of the score.
    """

    def __init__(
        self,
        pyramid: Pyramid | FusedPyramid,
        flow: MSFlow,
        size: tuple[int, int],
        top_k: float = 0.03,
        aggregation: Aggregation = "add",
        alignment: Alignment = "corners",
    ) -> None:
        super().__init__()
        self.pyramid = pyramid if isinstance(pyramid, FusedPyramid) else FusedPyramid(pyramid)
        sizes = feature_sizes(self.pyramid, size)
        self.flow = FusedFlow(flow, sizes)
        self.maps = FusedMaps(sizes, size, top_k, aggregation, alignment).to(next(flow.parameters()).device)
        self.eval()

    def forward(self, images: Tensor) -> FusedMeasures:
        """Returns the measures of a batch."""
        measures: FusedMeasures = self.maps(self.flow.log_likelihoods(self.pyramid(images)))
        return measures


def feature_sizes(pyramid: nn.Module, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Returns (H_l, W_l) of every scale for images of `size`."""
    device = next(pyramid.parameters()).device
    with torch.no_grad():
        return [(f.shape[2], f.shape[3]) for f in pyramid(torch.zeros(1, 3, *size, device=device))]
