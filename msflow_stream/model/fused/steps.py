"""Steps of the flow with gradients of their own, for the fit: they keep little, and add nothing up that is known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Size = tuple[int, int]


class _Norm(torch.autograd.Function):
    """`relu(layer_norm(x + constant))` over the last dimension; x is changed in place: nothing else may need it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, constant: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        shifted = x.add_(constant)
        normed, mean, deviation = torch.native_layer_norm(shifted, weight.shape, weight, bias, eps)
        ctx.save_for_backward(shifted.detach(), mean, deviation, weight, bias, normed.relu_())
        ctx.constant = constant.shape
        return normed

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        shifted, mean, deviation, weight, bias, normed = ctx.saved_tensors
        dnormed = torch.ops.aten.threshold_backward(dy.contiguous(), normed, 0)
        dx, dweight, dbias = torch.ops.aten.native_layer_norm_backward(
            dnormed, shifted, weight.shape, mean, deviation, weight, bias, [True, True, True]
        )
        return dx, dx.sum_to_size(ctx.constant), dweight, dbias, None


class _Couple(torch.autograd.Function):
    """The affine coupling `y = exp(e) x + t` and the sums of e over every image.

    r (N 2C), times a factor, is s and t. As in FrEIA, `e = clamp tanh(s)`; with a gain, as in the fusion flow,
    `e = clamp gain atan(s / clamp)`.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, r: Tensor, size: Size, clamp: float, gain: float | None, factor: float
    ) -> tuple[Tensor, Tensor]:
        s, t = r.chunk(2, 1)
        if gain is None:
            bent = (s * factor).tanh_()
            e, slope = bent * clamp, torch.addcmul(bent.new_tensor(clamp * factor), bent, bent, value=-clamp * factor)
        else:
            scaled = s * (factor / clamp)
            e, slope = (
                torch.atan(scaled).mul_(clamp * gain),
                (scaled * scaled).add_(1).reciprocal_().mul_(gain * factor),
            )
        logdet = e.view(-1, size[0] * size[1] * e.shape[1]).sum(1)
        scale = e.exp_()
        ctx.save_for_backward(x, scale, slope)
        ctx.factor = factor
        return (x * scale).add_(t, alpha=factor), logdet

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dlogdet: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, slope = ctx.saved_tensors
        dx = dy * scale
        ds = (dx * x).view(len(dlogdet), -1).add_(dlogdet[:, None]).view(slope.shape).mul_(slope)
        return dx, torch.cat([ds, dy * ctx.factor], 1), None, None, None, None


class _Mix(torch.autograd.Function):
    """`y = gain x + offset` of the permuted channels of both halves together; gain and offset are permuted already."""

    @staticmethod
    def forward(
        ctx: Any, passive: Tensor, active: Tensor, gain: Tensor, offset: Tensor, columns: Tensor, back: Tensor
    ) -> Tensor:
        permuted = torch.cat([passive, active], 1).index_select(1, columns)
        ctx.save_for_backward(permuted, gain, back)
        ctx.passive = passive.shape[1]
        return torch.addcmul(offset, permuted, gain)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        permuted, gain, back = ctx.saved_tensors
        dgain, doffset = (dy * permuted).sum(0), dy.sum(0)
        dx = (dy * gain).index_select(1, back)
        return dx[:, : ctx.passive], dx[:, ctx.passive :], dgain, doffset, None, None


class _Halves(torch.autograd.Function):
    """Both halves of permuted channels."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        ctx.back = columns.argsort()
        first, second = columns.chunk(2)
        return pixels.index_select(1, first), pixels.index_select(1, second)

    @staticmethod
    def backward(ctx: Any, dfirst: Tensor, dsecond: Tensor) -> tuple[Tensor, None]:
        return torch.cat([dfirst, dsecond], 1).index_select(1, ctx.back), None


def norm(x: Tensor, constant: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Returns `relu(layer_norm(x + constant))` over the last dimension of x, which is changed in place."""
    found: Tensor = _Norm.apply(x, constant, weight, bias, eps)
    return found


def couple(
    x: Tensor, r: Tensor, size: Size, clamp: float, gain: float | None = None, factor: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Returns an affine coupling of x (N C) by r (N 2C), and the sums of its log-scales over every image (B).

    Args:
        x: pixels.
        r: s and t, both to be multiplied by `factor`.
        size: (H, W) of the images.
        clamp: of the coupling.
        gain: that of the fusion flow's arctangent; None: FrEIA's hyperbolic tangent.
        factor: of r.
    """
    found: tuple[Tensor, Tensor] = _Couple.apply(x, r, size, clamp, gain, factor)
    return found


def mix(passive: Tensor, active: Tensor, gain: Tensor, offset: Tensor, columns: Tensor, back: Tensor) -> Tensor:
    """Returns the channels of both halves (N C/2 each) in the order of `columns`, then `gain x + offset` of them.

    Args:
        passive: the first half.
        active: the second half.
        gain: in the new order.
        offset: in the new order.
        columns: the new order.
        back: the way back from it.
    """
    found: Tensor = _Mix.apply(passive, active, gain, offset, columns, back)
    return found


def halves(pixels: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Returns both halves of the channels (N C) in the order of `columns`."""
    found: tuple[Tensor, Tensor] = _Halves.apply(pixels, columns)
    return found
