"""The flow for inference: permutations, affine maps and factors folded into the convolutions, no log-determinants.

Inside, a scale is a matrix of stored values, (B H W) x C: picking columns is cheap, and what PyTorch calls
channels-last costs no copy. `fold_permutations` knows which logical channel a column holds and up to which factor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msflow_stream.model.blocks import AllInOneBlock
from msflow_stream.model.flows import ChannelLayerNorm, position_condition
from msflow_stream.model.fused.centred_norm import CentredNorm, centred
from msflow_stream.model.fused.channel_order import BlockOrder, ChannelOrder, fold_permutations
from msflow_stream.model.fused.fusion import FusedFusion, Size, make_convolution
from msflow_stream.model.fusion import OUTPUT_LIMIT
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.tensors import as_images, as_pixels


class FusedFlow(nn.Module):
    """The same function as `flow` in eval mode, without the log-determinant.

    Args:
        flow: stays as it is, its weights are copied.
        sizes: (H_l, W_l) of the features of every scale: the constant parts of the subnets depend on them.
    """

    def __init__(self, flow: MSFlow, sizes: Sequence[Size]) -> None:
        super().__init__()
        self.sizes = list(sizes)
        blocks: list[Any] = [one.module_list for one in flow.parallel_flows]
        orders = [_channel_order(one) for one in blocks]
        chains = zip(blocks, orders, sizes, strict=True)
        self.chains = nn.ModuleList(
            _FusedChain(one, order, size, flow.condition_channels) for one, order, size in chains
        )
        places, scales = [order.place for order in orders], [order.scale for order in orders]
        self.fusion = None
        if flow.fusion_flow is not None:
            self.fusion = FusedFusion(flow.fusion_flow, sizes, places, scales)
            places, scales = [torch.arange(len(place)) for place in places], self.fusion.scales
        for scale, (place, factors) in enumerate(zip(places, scales, strict=True)):
            self.register_buffer(f"place{scale}", place, persistent=False)
            self.register_buffer(f"scale{scale}", factors.float(), persistent=False)
        self.requires_grad_(False)
        self.to(next(flow.parameters()).device)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Returns z per scale, B C_l H_l W_l, channels-last."""
        z = [one.index_select(1, self.get_buffer(f"place{scale}")) for scale, one in enumerate(self._outputs(features))]
        return [as_images(one, size) for one, size in zip(z, self.sizes, strict=True)]

    def log_likelihoods(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Returns `-1/2 mean_c z_l^2` per scale, B H_l W_l: the order of the channels does not matter to it."""
        found = [(one * one).mean(1) * -0.5 for one in self._outputs(features)]
        return [one.view(-1, *size) for one, size in zip(found, self.sizes, strict=True)]

    def _outputs(self, features: Sequence[Tensor]) -> list[Tensor]:
        """z, (B H W) C, with the channels as they are stored."""
        stored = [chain(as_pixels(one)) for chain, one in zip(self.chains, features, strict=True)]
        if self.fusion is not None:
            stored = self.fusion(stored)
        z = [one * self.get_buffer(f"scale{scale}") for scale, one in enumerate(stored)]
        return z if self.fusion is None else [one.clamp_(-OUTPUT_LIMIT, OUTPUT_LIMIT) for one in z]


def _channel_order(blocks: Iterable[AllInOneBlock]) -> ChannelOrder:
    gains = [block.global_scale_activation(block.global_scale).detach().flatten().cpu() for block in blocks]
    offsets = [block.global_offset.detach().flatten().cpu() for block in blocks]
    return fold_permutations([block.w_perm.detach().flatten(1).argmax(1).cpu() for block in blocks], gains, offsets)


class _FusedChain(nn.Module):
    """The parallel flow of one scale, from features to stored values: (B H W) C."""

    initial: Tensor

    def __init__(
        self, blocks: Iterable[AllInOneBlock], order: ChannelOrder, size: Size, condition_channels: int
    ) -> None:
        super().__init__()
        self.register_buffer("initial", order.initial.float(), persistent=False)
        condition = position_condition(condition_channels, *size) if condition_channels else torch.empty(0, *size)
        self.blocks = nn.ModuleList(
            _FusedBlock(block, one, condition) for block, one in zip(blocks, order.blocks, strict=True)
        )

    def forward(self, features: Tensor) -> Tensor:
        stored = features + self.initial
        for block in self.blocks:
            stored = block(stored)
        return stored


class _FusedBlock(nn.Module):
    """One coupling block on stored values: `v' = exp(a tanh(r_s)) v + r_t`, with constants folded into r.

    Args:
        block: with a subnet of conv1, ln and conv2.
        order: its channels.
        condition: D H W, with D = 0 if there is none.
    """

    passive: Tensor
    active: Tensor
    constant: Tensor

    def __init__(self, block: AllInOneBlock, order: BlockOrder, condition: Tensor) -> None:
        super().__init__()
        self.size, self.clamp = (condition.shape[1], condition.shape[2]), float(block.clamp)
        self.register_buffer("passive", order.passive, persistent=False)
        self.register_buffer("active", order.active, persistent=False)
        conv1, norm, conv2 = block.subnet.conv1, block.subnet.ln, block.subnet.conv2
        weight = conv1.weight.detach()
        offset = order.offset.float()[:, None, None].expand(-1, *self.size)
        constant = F.conv2d(torch.cat([offset, condition])[None].to(weight), weight, conv1.bias, padding=1).detach()
        weight = weight[:, : len(order.scale)].double() * order.scale.to(weight.device)[:, None, None]
        if isinstance(norm, nn.BatchNorm2d):
            constant, factors = norm.eval()(constant).detach(), _factors(norm)
            weight = weight * factors[:, None, None, None]
        self.norm: nn.Module = nn.Identity()
        if isinstance(norm, ChannelLayerNorm):
            self.norm, weight, constant = CentredNorm(norm), centred(weight), centred(constant.double(), 1)
        self.conv1 = make_convolution(weight, None)
        constant = constant.float().contiguous(memory_format=torch.channels_last)
        self.register_buffer("constant", constant, persistent=False)  # 1 C H W
        self.conv2 = _last(conv2, order)

    def forward(self, stored: Tensor) -> Tensor:
        passive = stored.index_select(1, self.passive)
        hidden = F.relu_(self.norm(self.conv1(as_images(passive, self.size)) + self.constant))  # B C H W
        s, t = as_pixels(self.conv2(hidden)).chunk(2, 1)
        active = torch.addcmul(t, stored.index_select(1, self.active), torch.tanh(s).mul_(self.clamp).exp_())
        return torch.cat([passive, active], 1)


def _factors(norm: nn.BatchNorm2d) -> Tensor:
    assert norm.running_var is not None
    return norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()


def _last(convolution: nn.Conv2d, order: BlockOrder) -> nn.Conv2d:
    """The last convolution of a subnet, with FrEIA's factor 0.1 and what `t` becomes in stored values."""
    assert convolution.bias is not None
    weight, bias = convolution.weight.detach().double(), convolution.bias.detach().double()
    inverse = 1 / order.active_scale.to(weight.device)
    rows = 0.1 * torch.cat([torch.ones_like(inverse), inverse])
    bias = bias * rows + torch.cat([torch.zeros_like(inverse), order.shift.to(weight.device)])
    return make_convolution(weight * rows[:, None, None, None], bias)
