"""The plain model that `bench scorer` compares with: MSFlow as PyTorch has it, without any thought of speed."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from msflow_stream.model.aggregate import Aggregation, Alignment, anomaly_maps, top_k_mean
from msflow_stream.model.flows import make_plain
from msflow_stream.model.fused.maps import FusedMeasures
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.pyramid import Pyramid
from msflow_stream.scenes.scene import Scene


class PlainModel(nn.Module):
    """A scene's model as a plain implementation has it: dense permutations, log-determinants, all maps, batch norms."""

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
        """Returns scores and maps of normalised images B 3 H W."""
        features = [self.pyramid.pooled(stage) for stage in self.pyramid.backbone(images.contiguous())]
        z, _ = self.flow(features)
        maps = anomaly_maps(z, self.size, self.alignment)
        return FusedMeasures(
            score=top_k_mean(maps.mul, self.top_k),
            surprise=top_k_mean(maps.surprise, self.top_k),
            surprise_mean=maps.surprise.mean((1, 2)),
            map=getattr(maps, self.aggregation).half(),
        )


def plain_model(scene: Scene) -> PlainModel:
    """Returns the model that a PyTorch implementation without any thought of speed has."""
    score = scene.settings.score
    size = scene.settings.input.size
    return PlainModel(scene.pyramid, scene.flow, size, score.top_k, score.aggregation, score.alignment)


def operations(scene: Scene) -> int:
    """Returns the operations of the plain model's convolutions and products for a frame; a multiply-add is two."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        plain_model(scene)(torch.zeros(1, 3, *scene.settings.input.size, device=scene.device))
    return int(counter.get_total_flops())
