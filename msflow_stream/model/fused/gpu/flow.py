"""The flow for a GPU: stored values that are changed where they stand, three kernels beside a block's convolutions."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msflow_stream.model.fused.centred_norm import CentredNorm
from msflow_stream.model.fused.channel_order import FixedColumns, fix_columns
from msflow_stream.model.fused.flow import FusedFlow
from msflow_stream.model.fused.fusion import Size
from msflow_stream.model.fused.gpu.convolution import PixelConvolution, aligned, widened
from msflow_stream.model.fused.gpu.fusion import GpuFusion
from msflow_stream.model.fused.kernels import couple_, gather, log_likelihood, norm_relu_
from msflow_stream.model.fusion import OUTPUT_LIMIT
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.tensors import as_pixels


class GpuFlow(nn.Module):
    """The log-likelihoods of `flow` in eval mode: convolutions in `dtype`, everything else in float32.

    Args:
        flow: stays as it is, its weights are copied; the copies are on the CPU until they are moved.
        sizes: (H_l, W_l) of the features of every scale.
        dtype: of the weights, and of what the convolutions read and write.
    """

    def __init__(self, flow: MSFlow, sizes: Sequence[Size], dtype: torch.dtype) -> None:
        super().__init__()
        self.sizes = list(sizes)
        fused = FusedFlow(_on_cpu(flow), sizes)
        columns = [_columns(fused, scale) for scale in range(len(self.sizes))]
        chains: list[Any] = list(fused.chains)
        self.chains = nn.ModuleList(
            _Chain(chain, one, size, dtype) for chain, one, size in zip(chains, columns, sizes, strict=True)
        )
        self.fusion = None if fused.fusion is None else GpuFusion(fused.fusion, columns, dtype)
        self.limit = math.inf if fused.fusion is None else OUTPUT_LIMIT
        for scale, one in enumerate(columns):
            read = torch.arange(len(one.last)) if fused.fusion is None else fused.fusion.columns(scale)
            factors = torch.empty(len(one.last))
            factors[one.last[read]] = fused.get_buffer(f"scale{scale}")
            self.register_buffer(f"scale{scale}", factors, persistent=False)
        self.requires_grad_(False)
        self.eval()

    def log_likelihoods(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Returns `-1/2 mean_c z_l^2` per scale, float32 B H_l W_l, for features B C_l H_l W_l of any float type."""
        stored = [chain(as_pixels(one).contiguous()) for chain, one in zip(self.chains, features, strict=True)]
        if self.fusion is not None:
            self.fusion(stored)
        scales = [self.get_buffer(f"scale{scale}") for scale in range(len(stored))]
        found = [log_likelihood(one, scale, self.limit) for one, scale in zip(stored, scales, strict=True)]
        return [one.view(-1, *size) for one, size in zip(found, self.sizes, strict=True)]

    forward = log_likelihoods


def _on_cpu(flow: MSFlow) -> MSFlow:
    return flow if next(flow.parameters()).device.type == "cpu" else copy.deepcopy(flow).cpu()


def _columns(fused: FusedFlow, scale: int) -> FixedColumns:
    blocks: Any = fused.chains[scale].blocks
    halves = [] if fused.fusion is None else [fused.fusion.get_buffer(f"columns0_{scale}")]
    return fix_columns([(block.passive, block.active) for block in blocks], halves)


class _Chain(nn.Module):
    """The parallel flow of one scale, from features to stored values: (B H W) C."""

    features: Tensor
    initial: Tensor

    def __init__(self, chain: Any, columns: FixedColumns, size: Size, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("features", columns.features.int(), persistent=False)
        self.register_buffer("initial", chain.initial[columns.features], persistent=False)
        self.blocks = nn.ModuleList(
            _Block(block, *halves, size, dtype) for block, halves in zip(chain.blocks, columns.blocks, strict=True)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Returns the stored values, a tensor of their own."""
        stored = gather(features, self.features, self.initial, torch.float32)
        for block in self.blocks:
            block(stored)
        return stored


class _Block(nn.Module):
    """One coupling block, which changes its active columns of the stored values.

    Args:
        block: of a FusedFlow.
        passive: columns that it reads.
        active: columns that it changes.
        size: (H, W).
        dtype: of the convolutions.
    """

    passive: Tensor
    active: Tensor
    constant: Tensor
    bias: Tensor
    norm_weight: Tensor | None
    norm_bias: Tensor | None

    def __init__(self, block: Any, passive: Tensor, active: Tensor, size: Size, dtype: torch.dtype) -> None:
        super().__init__()
        self.clamp = block.clamp
        inputs, outputs = passive.argsort(), active.argsort()  # ascending columns lie beside one another in memory
        rows = torch.cat([outputs, outputs + len(outputs)])  # of s and of t
        read, hidden = aligned(len(inputs), dtype), aligned(block.conv1.out_channels, dtype)
        columns = F.pad(passive[inputs].int(), (0, read - len(inputs)), value=-1)
        self.register_buffer("passive", columns, persistent=False)
        self.register_buffer("active", active[outputs].int(), persistent=False)
        self.conv1 = PixelConvolution(widened(block.conv1.weight[:, inputs], read, hidden), size, dtype)
        self.conv2 = PixelConvolution(widened(block.conv2.weight[rows], hidden), size, dtype)
        self.register_buffer("constant", as_pixels(block.constant).contiguous(), persistent=False)
        self.register_buffer("bias", block.conv2.bias.detach()[rows], persistent=False)
        norm = block.norm.norm if isinstance(block.norm, CentredNorm) else None
        self.eps = 0.0 if norm is None else norm.eps
        for name in ("weight", "bias"):
            value = None if norm is None else getattr(norm, name).detach().clone()
            self.register_buffer(f"norm_{name}", value, persistent=False)

    def forward(self, stored: Tensor) -> None:
        """Changes the stored values, (B H W) C."""
        hidden = self.conv1(gather(stored, self.passive, None, self.conv1.weight.dtype))
        norm_relu_(hidden, self.constant, self.norm_weight, self.norm_bias, self.eps)
        couple_(stored, self.conv2(hidden), self.bias, self.active, self.clamp, False)
