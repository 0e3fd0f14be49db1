"""The parallel flows: one conditional flow per scale, built from FrEIA's AllInOneBlock."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import numpy as np
import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["layer", "batch", "none"]


class ChannelLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of every pixel, for B C H W."""

    def forward(self, input: Tensor) -> Tensor:
        x = input.permute(0, 2, 3, 1)  # B H W C
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """The normalisation inside a subnet."""
    if norm == "layer":
        return ChannelLayerNorm(channels)
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def make_subnet(channels_in: int, channels_out: int, norm: Norm) -> nn.Sequential:
    """conv 3x3 - norm - ReLU - conv 3x3: what a coupling block asks for its scale and shift."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels_in, channels_in, 3, padding=1),
            ln=make_norm(norm, channels_in),
            relu=nn.ReLU(),
            conv2=nn.Conv2d(channels_in, channels_out, 3, padding=1),
        )
    )


def parallel_flow(
    channels: int,
    blocks: int,
    condition_channels: int,
    clamp: float,
    norm: Norm,
    rng: np.random.Generator,
) -> SequenceINN:
    """A flow of `blocks` AllInOneBlocks over B C H W, conditioned on B `condition_channels` H W (0: unconditioned).

    The permutations are drawn from `rng`, not from numpy's global state as FrEIA does, so that they depend on
    nothing else in the process. Sizes are given to FrEIA as 1x1: no block depends on them.
    """
    flow = SequenceINN(channels, 1, 1)
    condition = {"cond": 0, "cond_shape": (condition_channels, 1, 1)} if condition_channels else {}
    for _ in range(blocks):
        flow.append(
            AllInOneBlock,
            **condition,
            subnet_constructor=lambda c_in, c_out: make_subnet(c_in, c_out, norm),
            affine_clamping=clamp,
            global_affine_type="SOFTPLUS",
        )
        matrix = torch.eye(channels)[rng.permutation(channels)]
        block = flow.module_list[-1]
        block.w_perm.data = matrix[:, :, None, None].clone()
        block.w_perm_inv.data = matrix.T[:, :, None, None].clone()
    return flow
