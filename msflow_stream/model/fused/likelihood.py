"""The flow for the fit: the plain flow's likelihood and gradients in fewer and cheaper steps, on CPUs.

What depends on the weights alone is computed once per batch and not once per part of it, above all what the position
condition adds to every first convolution. Pixels are rows and channels columns, (B H W) C, so that nothing is copied
between convolutions and norms; couplings and permutations have gradients of their own, which keep little and add
nothing up that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from msflow_stream.model.blocks import AllInOneBlock
from msflow_stream.model.flows import position_condition
from msflow_stream.model.fused.steps import Size, couple, halves, mix, norm
from msflow_stream.model.fusion import ATAN_GAIN, OUTPUT_LIMIT, FusionNetwork
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.tensors import as_images, as_pixels

SUBNET_FACTOR = 0.1  # FrEIA's, of what a subnet says


class FusedLikelihood:
    """The negative log-likelihood of features under a flow with layer norms, in float32.

    Args:
        flow: the weights are its own; it is not copied.
        sizes: (H_l, W_l) of the features of every scale.
    """

    def __init__(self, flow: MSFlow, sizes: Sequence[Size]) -> None:
        self.flow, self.sizes = flow, list(sizes)
        chains: Any = flow.parallel_flows
        self._blocks: list[list[Any]] = [list(one.module_list) for one in chains]
        self._orders = [[_order(block) for block in blocks] for blocks in self._blocks]
        self._columns = [torch.stack([order.columns for order in orders]) for orders in self._orders]
        self._conditions = [_Condition(flow.condition_channels, size, next(flow.parameters()).dtype) for size in sizes]
        self._clamp = float(self._blocks[0][0].clamp)

    def weights(self) -> list[Callable[[], list[Tensor]]]:
        """Returns what makes the weights that `nll` computes with: once per batch, each of other parameters."""
        chains = zip(self._blocks, self._conditions, self._columns, self.sizes, strict=True)
        making: list[Callable[[], list[Tensor]]] = [partial(_chain_weights, *one) for one in chains]
        if self.flow.fusion_flow is not None:
            networks = self.flow.fusion_flow.subnet_2, self.flow.fusion_flow.subnet_1
            making += [partial(_network_weights, one) for one in networks]
        return making

    def nll(self, features: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        """Returns the negative log-likelihood of every frame (B), up to the constant of the normal density."""
        given = iter(weights)
        logdet = torch.zeros((), dtype=features[0].dtype)
        outputs = []
        for x, size, orders in zip(features, self.sizes, self._orders, strict=True):
            pixels, logdet = as_pixels(x), logdet + next(given)
            for order in orders:
                pixels, one = self._block(pixels, size, order, _Block(*(next(given) for _ in _Block._fields)))
                logdet = logdet + one
            outputs.append(pixels)
        if self.flow.fusion_flow is not None:
            outputs, one = self._fusion(outputs, given)
            logdet = logdet + one
        return torch.stack([0.5 * (z * z).view(len(features[0]), -1).sum(1) for z in outputs]).sum(0) - logdet

    def _block(self, pixels: Tensor, size: Size, order: _Order, weights: _Block) -> tuple[Tensor, Tensor]:
        """One coupling block: its outputs, (B H W) C, and the log-determinants, B."""
        passive = pixels[:, : order.passive].contiguous()
        hidden = F.conv2d(as_images(passive, size), weights.first, padding=1).permute(0, 2, 3, 1)  # B H W C
        hidden = norm(hidden, weights.constant, weights.norm_weight, weights.norm_bias, order.eps)
        r = as_pixels(F.conv2d(hidden.permute(0, 3, 1, 2), weights.second, weights.second_bias, padding=1))
        active, logdet = couple(pixels[:, order.passive :], r, size, self._clamp, None, SUBNET_FACTOR)
        mixed = mix(passive, active, weights.gain, weights.offset, order.columns, order.back)
        return mixed, logdet

    def _fusion(self, outputs: Sequence[Tensor], weights: Iterator[Tensor]) -> tuple[list[Tensor], Tensor]:
        """The fusion flow: z, (B H W) C per scale, and the log-determinants, B."""
        fusion = self.flow.fusion_flow
        assert fusion is not None
        first, second = [], []
        for scale, pixels in enumerate(outputs):
            one, other = halves(pixels, fusion.permutation(scale))
            first.append(one)
            second.append(other)
        first, logdet_1 = self._couple_scales(fusion.subnet_2, second, first, weights)
        second, logdet_2 = self._couple_scales(fusion.subnet_1, first, second, weights)
        z = [one.clamp(-OUTPUT_LIMIT, OUTPUT_LIMIT) for one in (*first, *second)]
        return z, logdet_1 + logdet_2

    def _couple_scales(
        self, network: FusionNetwork, inputs: Sequence[Tensor], halves: Sequence[Tensor], weights: Iterator[Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Couples one half of every scale to the other."""
        fusion = self.flow.fusion_flow
        assert fusion is not None
        images = [as_images(one, size) for one, size in zip(inputs, self.sizes, strict=True)]
        smallest = min(self.sizes, key=lambda size: size[0] * size[1])
        pooled = torch.cat([F.adaptive_avg_pool2d(one, smallest) for one in images], 1)  # B sum(C)/2 h w
        squeezed = F.conv2d(pooled, next(weights), padding=1).permute(0, 2, 3, 1)  # B h w C
        normed = norm(squeezed, next(weights), next(weights), next(weights), network.norm.eps)
        crossed = F.conv2d(normed.permute(0, 3, 1, 2), next(weights), next(weights), padding=1).relu_()
        outputs, logdets = [], []
        for image, half, size, part in zip(
            images, halves, self.sizes, torch.split(crossed, network.channels, 1), strict=True
        ):
            context = image + F.interpolate(part, size=size, mode="bilinear", align_corners=True)
            r = as_pixels(F.conv2d(context, next(weights), next(weights), padding=1))
            output, logdet = couple(half, r, size, fusion.clamp, ATAN_GAIN, 1.0)
            outputs.append(output)
            logdets.append(logdet)
        return outputs, torch.stack(logdets).sum(0)


class _Order(NamedTuple):
    """The constants of a block: its passive channels, its permutation and the way back, its norm's epsilon."""

    passive: int
    columns: Tensor
    back: Tensor
    eps: float


class _Block(NamedTuple):
    """What a block computes with; `constant` is what its condition and bias add to the first convolution, H W C."""

    first: Tensor
    constant: Tensor
    norm_weight: Tensor
    norm_bias: Tensor
    second: Tensor
    second_bias: Tensor
    gain: Tensor
    offset: Tensor


def _order(block: AllInOneBlock) -> _Order:
    columns = block.w_perm.detach().flatten(1).argmax(1)
    return _Order(block.splits[0], columns, columns.argsort(), block.subnet.ln.eps)


def _chain_weights(blocks: Sequence[AllInOneBlock], condition: _Condition, columns: Tensor, size: Size) -> list[Tensor]:
    """The global scales' part of the log-determinant, and what the blocks of one scale compute with."""
    gains = blocks[0].global_scale_activation(torch.stack([block.global_scale.flatten() for block in blocks]))
    offsets = torch.stack([block.global_offset.flatten() for block in blocks])
    subnets: list[Any] = [block.subnet for block in blocks]
    own = subnets[0].own_channels
    first = [torch.split(subnet.conv1.weight, [own, condition.channels], 1) for subnet in subnets]
    constants = condition.convolved([weight for _, weight in first], [subnet.conv1.bias for subnet in subnets])
    each = zip(first, constants, subnets, gains.gather(1, columns), offsets.gather(1, columns), strict=True)
    found = [
        _Block(
            weight.contiguous(memory_format=torch.channels_last),
            constant,
            *(subnet.ln.weight, subnet.ln.bias, subnet.conv2.weight, subnet.conv2.bias),
            gain,
            offset,
        )
        for (weight, _), constant, subnet, gain, offset in each
    ]
    return [size[0] * size[1] * gains.log().sum(), *chain.from_iterable(found)]


class _Condition:
    """The position condition of one size, convolved once for all frames.

    Half of its channels are the same in every row, the others in every column: three rows or columns, two of them at a
    border, tell all.
    """

    def __init__(self, channels: int, size: Size, dtype: torch.dtype) -> None:
        self.channels, self.size, self.half = channels, size, channels // 2
        if channels:
            condition = position_condition(channels, *size)[None].to(dtype)
            self.by_column = _unfolded(condition[:, : self.half, :3])  # (3 W) 9D/2
            self.by_row = _unfolded(condition[:, self.half :, :, :3])  # (H 3) 9D/2

    def convolved(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Sequence[Tensor]:
        """Returns the sums of biases (C') and convolutions by `weights` (C' D 3 3): H W C', or C' with no condition."""
        if not self.channels:
            return biases
        (height, width), count = self.size, len(weights)
        weight, bias = torch.stack(list(weights)), torch.stack(list(biases))[:, None]  # n C' D 3 3, n 1 C'
        by_column = self.by_column @ weight[:, :, : self.half].flatten(2).transpose(1, 2) + bias
        by_row = self.by_row @ weight[:, :, self.half :].flatten(2).transpose(1, 2)
        first = _stretched(by_column.view(count, -1, width, bias.shape[2]), 1, height)
        return (first + _stretched(by_row.view(count, height, -1, bias.shape[2]), 2, width)).unbind()


def _unfolded(images: Tensor) -> Tensor:
    """What a 3x3 convolution reads for every pixel: (H W) 9C for 1 C H W."""
    return F.unfold(images, 3, padding=1)[0].T.contiguous()


def _stretched(x: Tensor, dim: int, length: int) -> Tensor:
    """Repeats the middle one of three slices until there are `length`; leaves fewer as they are."""
    if x.shape[dim] == length:
        return x
    first, middle, last = torch.split(x, 1, dim)
    shape = list(x.shape)
    shape[dim] = length - 2
    return torch.cat([first, middle.expand(shape), last], dim)


def _network_weights(network: Any) -> list[Tensor]:
    """In the order in which `_couple_scales` takes them."""
    found: list[Tensor] = []
    for layer in (network.squeeze, network.norm, network.expand):
        found += [layer.weight, layer.bias]
    for s, t in zip(network.conv_s, network.conv_t, strict=True):
        found += [torch.cat([s.weight, t.weight]), torch.cat([s.bias, t.bias])]
    return found
