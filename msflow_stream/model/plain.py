"""The plain way to score: what an implementation without any thought of speed computes, to be measured against."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from msflow_stream.model.aggregate import Aggregation, Alignment, anomaly_maps, top_k_mean
from msflow_stream.model.flows import make_plain
from msflow_stream.model.fused.maps import FusedMeasures
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.pyramid import Pyramid


class PlainModel(nn.Module):
    """As `FusedModel`, with dense permutations, log-determinants, all maps, batch norms and contiguous memory."""

    def __init__(
        self,
        pyramid: Pyramid,
        flow: MSFlow,
        size: tuple[int, int],
        top_k: float = 0.03,
        aggregation: Aggregation = "add",
        alignment: Alignment = "corners",
    ) -> None:
        super().__init__()
        self.pyramid = copy.deepcopy(pyramid)
        self.flow = make_plain(copy.deepcopy(flow))
        self.size, self.top_k, self.aggregation, self.alignment = size, top_k, aggregation, alignment
        self.to(memory_format=torch.contiguous_format)
        self.eval()

    def forward(self, images: Tensor) -> FusedMeasures:
        features = [self.pyramid.pooled(stage) for stage in self.pyramid.backbone(images.contiguous())]
        z, _ = self.flow(features)
        maps = anomaly_maps(z, self.size, self.alignment)
        heat = (maps.add if self.aggregation == "add" else maps.mul).half()
        scores = top_k_mean(maps.mul, self.top_k), top_k_mean(maps.surprise, self.top_k)
        return FusedMeasures(*scores, maps.surprise.mean((1, 2)), heat)
