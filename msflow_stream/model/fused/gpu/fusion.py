"""The fusion flow for a GPU: both couplings change the stored values where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from msflow_stream.model.fused.channel_order import FixedColumns
from msflow_stream.model.fused.fusion import FusedFusion, Size
from msflow_stream.model.fused.gpu.convolution import PixelConvolution
from msflow_stream.model.fused.kernels import add_crossed_, couple_, gather, norm_relu_, pool_


class GpuFusion(nn.Module):
    """The fusion flow on stored values that stay in their columns.

    Args:
        fusion: of a FusedFlow.
        columns: those of every scale.
        dtype: of the convolutions.
    """

    def __init__(self, fusion: FusedFusion, columns: Sequence[FixedColumns], dtype: torch.dtype) -> None:
        super().__init__()
        first, second = (
            [one.last[fusion.get_buffer(f"columns{half}_{scale}")] for scale, one in enumerate(columns)]
            for half in (0, 1)
        )
        self.of_first = _Network(fusion.of_first, second, first, dtype)
        self.of_second = _Network(fusion.of_second, first, second, dtype)

    def forward(self, stored: Sequence[Tensor]) -> None:
        """Changes the stored values of every scale, (B H_l W_l) C_l."""
        self.of_first(stored)
        self.of_second(stored)


class _Network(nn.Module):
    """Couples one half of every scale to the other.

    Args:
        network: of a FusedFusion.
        passive: columns that are read, per scale.
        active: columns that are changed, per scale.
        dtype: of the convolutions.
    """

    squeeze_bias: Tensor
    expand_bias: Tensor
    norm_weight: Tensor
    norm_bias: Tensor

    def __init__(self, network: Any, passive: Sequence[Tensor], active: Sequence[Tensor], dtype: torch.dtype) -> None:
        super().__init__()
        self.sizes: list[Size] = network.sizes
        self.smallest: Size = network.smallest
        self.channels, self.gain, self.dtype = list(network.channels), network.gain, dtype
        self.starts = list(accumulate(self.channels, initial=0))[:-1]
        self.squeeze = PixelConvolution(network.squeeze.weight, self.smallest, dtype)
        self.expand = PixelConvolution(network.expand.weight, self.smallest, dtype)
        self.couple = nn.ModuleList(
            PixelConvolution(one.weight, size, dtype) for one, size in zip(network.couple, self.sizes, strict=True)
        )
        norm = network.norm.norm
        self.eps = norm.eps
        kept = {"squeeze_bias": network.squeeze.bias[None], "expand_bias": network.expand.bias}
        kept |= {"norm_weight": norm.weight, "norm_bias": norm.bias}
        for scale, (read, changed, one) in enumerate(zip(passive, active, network.couple, strict=True)):
            kept |= {f"passive{scale}": read.int(), f"active{scale}": changed.int(), f"couple_bias{scale}": one.bias}
        for name, value in kept.items():
            self.register_buffer(name, value.detach().clone(), persistent=False)

    def forward(self, stored: Sequence[Tensor]) -> None:
        """Changes the active columns of the stored values."""
        images = [gather(one, self.get_buffer(f"passive{n}"), None, self.dtype) for n, one in enumerate(stored)]
        crossed = self._crossed(images)
        for scale, (one, convolution) in enumerate(zip(images, self.couple, strict=True)):
            add_crossed_(one, crossed, self.expand_bias, self.starts[scale], self.sizes[scale], self.smallest)
            active, bias = self.get_buffer(f"active{scale}"), self.get_buffer(f"couple_bias{scale}")
            couple_(stored[scale], convolution(one), bias, active, self.gain, True)

    def _crossed(self, images: Sequence[Tensor]) -> Tensor:
        """What all scales together say at the smallest size, (B h w) C, still without bias and ReLU."""
        height, width = self.sizes[0]
        count = images[0].shape[0] // (height * width) * self.smallest[0] * self.smallest[1]
        pooled = images[0].new_empty(count, sum(self.channels))
        for start, one, size in zip(self.starts, images, self.sizes, strict=True):
            pool_(pooled, start, one, size, self.smallest)
        squeezed = self.squeeze(pooled)
        norm_relu_(squeezed, self.squeeze_bias, self.norm_weight, self.norm_bias, self.eps)
        expanded: Tensor = self.expand(squeezed)
        return expanded
