"""The parallel flows: one conditional flow per scale, built from FrEIA's AllInOneBlock."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msflow_stream.model.blocks import AllInOneBlock, SequenceINN

Norm = Literal["layer", "batch", "none"]


class ChannelLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of every pixel, for B C H W."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns B C H W for B C H W."""
        x = input.permute(0, 2, 3, 1)  # B H W C
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Returns the normalisation inside a subnet."""
    if norm == "layer":
        return ChannelLayerNorm(channels)
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


class Subnet(nn.Module):
    """The network that gives a coupling block its scale and shift: conv 3x3 - norm - ReLU - conv 3x3.

    The last `condition_channels` of its input are the position condition, which is the same for every image: its share
    of the first convolution is computed for one image and added to all.
    """

    def __init__(self, channels_in: int, channels_out: int, condition_channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_in, 3, padding=1)
        self.ln = make_norm(norm, channels_in)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.own_channels = channels_in - condition_channels

    def forward(self, input: Tensor) -> Tensor:
        """Returns B `channels_out` H W for B `channels_in` H W."""
        weight, own = self.conv1.weight, self.own_channels
        x = F.conv2d(input[:, :own], weight[:, :own], self.conv1.bias, padding=1)
        if own < input.shape[1]:
            x = x + F.conv2d(input[:1, own:], weight[:, own:], padding=1)
        result: Tensor = self.conv2(self.relu(self.ln(x)))
        return result.to(input.dtype)  # autocast or not: the log-determinant needs its digits


def permute(x: Tensor, matrix: Tensor) -> Tensor:
    """Permutes channels as FrEIA's 1x1 convolution with a permutation matrix does, without the products."""
    return x.index_select(1, matrix.flatten(1).argmax(1))


def make_plain(flow: nn.Module) -> nn.Module:
    """Takes the shortcuts out of all blocks of `flow`: the reference they are tested and measured against."""
    for module in flow.modules():
        if isinstance(module, AllInOneBlock):
            module.subnet = nn.Sequential(OrderedDict(module.subnet.named_children()))
            module.permute_function = F.conv2d
    return flow


def parallel_flow(
    channels: int,
    blocks: int,
    condition_channels: int,
    clamp: float,
    norm: Norm,
    rng: np.random.Generator,
) -> SequenceINN:
    """Returns a flow of `blocks` AllInOneBlocks over B C H W, conditioned on B `condition_channels` H W (0: not).

    The condition has to be the same for every image of the batch.

    The permutations are drawn from `rng`, not from numpy's global state as FrEIA does, so that they depend on
    nothing else in the process. Sizes are given to FrEIA as 1x1: no block depends on them.
    """
    flow = SequenceINN(channels, 1, 1)
    condition = {"cond": 0, "cond_shape": (condition_channels, 1, 1)} if condition_channels else {}
    for _ in range(blocks):
        flow.append(
            AllInOneBlock,
            **condition,
            subnet_constructor=lambda c_in, c_out: Subnet(c_in, c_out, condition_channels, norm),
            affine_clamping=clamp,
            global_affine_type="SOFTPLUS",
        )
        matrix = torch.eye(channels)[rng.permutation(channels)]
        block = flow.module_list[-1]
        block.permute_function = permute
        block.w_perm.data = matrix[:, :, None, None].clone()
        block.w_perm_inv.data = matrix.T[:, :, None, None].clone()
    return flow


def position_condition(channels: int, height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Returns the two-dimensional sinusoidal encoding, the same for every image of one size.

    The first half of the channels interleaves sin and cos of the x index, the second half of the y index, at
    frequencies `exp(-2k ln(10^4) / (channels / 2))` (Vaswani et al. 2017, once per axis). It is computed on the device:
    to bring it there, the host would wait for the GPU.

    Returns:
        float32 `channels x height x width`.
    """
    if channels % 4:
        raise ValueError(f"the position condition needs a multiple of 4 channels, not {channels}")
    half = channels // 2
    frequency = torch.exp(torch.arange(0, half, 2, dtype=torch.float64, device=device) * (-math.log(1e4) / half))
    condition = torch.empty(channels, height, width, device=device)
    for start, size, shape in ((0, width, (-1, 1, width)), (half, height, (-1, height, 1))):
        angle = frequency[:, None] * torch.arange(size, dtype=torch.float64, device=device)  # half/2 size
        condition[start : start + half : 2] = angle.sin().reshape(shape)
        condition[start + 1 : start + half : 2] = angle.cos().reshape(shape)
    return condition
