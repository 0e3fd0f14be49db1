"""The operations of a coupling block on a GPU."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from msflow_stream.model.fused.kernels.cuda.functions import arctangent, tangent
from msflow_stream.model.fused.kernels.cuda.tiling import on_device_of, tile, whole_rows


@triton.jit(do_not_specialize=["rows"])
def gather_kernel(
    x, columns, shift, out, rows,
    C: tl.constexpr, K: tl.constexpr, SHIFTED: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """`out = x[:, columns] + shift`."""
    program = tl.program_id(0)
    first = (program // PARTS).to(tl.int64) * ROWS
    row, channel = tl.arange(0, ROWS), program % PARTS * WIDTH + tl.arange(0, WIDTH)
    inside = (first + row < rows)[:, None] & (channel < K)[None, :]
    column = tl.load(columns + channel, mask=channel < K, other=0)
    held = inside & (column >= 0)[None, :]
    value = tl.load(x + first * C + (row[:, None] * C + column[None, :]), mask=held, other=0).to(tl.float32)
    if SHIFTED:
        value += tl.load(shift + channel, mask=channel < K, other=0)[None, :]
    tl.store(out + first * K + (row[:, None] * K + channel[None, :]), value.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def norm_relu_kernel(
    x, constant, weight, bias, rows, period, eps,
    C: tl.constexpr, PITCH: tl.constexpr, NORM: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """`x = relu(layer_norm(x + constant))`; a program has all channels of its rows."""
    first = tl.program_id(0).to(tl.int64) * ROWS
    row, channel = tl.arange(0, ROWS), tl.arange(0, WIDTH)
    inside = (first + row < rows)[:, None] & (channel < C)[None, :]
    at = x + first * PITCH + (row[:, None] * PITCH + channel[None, :])
    place = ((first % period).to(tl.int32) + row) % period
    value = tl.load(at, mask=inside, other=0).to(tl.float32)
    value += tl.load(constant + (place[:, None] * C + channel[None, :]), mask=inside, other=0)
    if NORM:
        value = tl.where(inside, value - (tl.sum(value, 1) / C)[:, None], 0.0)
        value *= tl.rsqrt(tl.sum(value * value, 1) / C + eps)[:, None]
        value *= tl.load(weight + channel, mask=channel < C, other=0)[None, :]
        value += tl.load(bias + channel, mask=channel < C, other=0)[None, :]
    tl.store(at, tl.where(value < 0, 0.0, value).to(x.dtype.element_ty), mask=inside)  # keeps what is no number


@triton.jit(do_not_specialize=["rows"])
def couple_kernel(
    stored, r, bias, columns, rows, factor,
    C: tl.constexpr, A: tl.constexpr, ARCTANGENT: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """`stored[:, columns] = exp(factor tanh(s)) stored[:, columns] + t`."""
    program = tl.program_id(0)
    first = (program // PARTS).to(tl.int64) * ROWS
    row, channel = tl.arange(0, ROWS), program % PARTS * WIDTH + tl.arange(0, WIDTH)
    own = channel < A
    inside = (first + row < rows)[:, None] & own[None, :]
    column = tl.load(columns + channel, mask=own, other=0)
    at = r + first * (2 * A) + (row[:, None] * (2 * A) + channel[None, :])
    s = tl.load(at, mask=inside, other=0).to(tl.float32) + tl.load(bias + channel, mask=own, other=0)[None, :]
    t = tl.load(at + A, mask=inside, other=0).to(tl.float32) + tl.load(bias + A + channel, mask=own, other=0)[None, :]
    bent = arctangent(s) if ARCTANGENT else tangent(s)
    target = stored + first * C + (row[:, None] * C + column[None, :])
    value = tl.load(target, mask=inside, other=0)
    tl.store(target, value * tl.exp(bent * factor) + t, mask=inside)


@triton.jit(do_not_specialize=["rows"])
def log_likelihood_kernel(
    stored, scale, out, rows, limit,
    C: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """`out = -1/2 mean(clamp(scale stored)^2)`; a program has all channels of its rows."""
    first = tl.program_id(0).to(tl.int64) * ROWS
    row, channel = tl.arange(0, ROWS), tl.arange(0, WIDTH)
    inside = (first + row < rows)[:, None] & (channel < C)[None, :]
    z = tl.load(stored + first * C + (row[:, None] * C + channel[None, :]), mask=inside, other=0)
    z *= tl.load(scale + channel, mask=channel < C, other=0)[None, :]
    z = tl.where(z > limit, limit, tl.where(z < -limit, -limit, z))
    tl.store(out + first + row, tl.sum(z * z, 1) * (-0.5 / C), mask=first + row < rows)


def gather(x: Tensor, columns: Tensor, shift: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Returns what the operation does."""
    x, (rows, channels), count = x.contiguous(), x.shape, columns.shape[0]
    out, own = x.new_empty((rows, count), dtype=dtype), tile(count)
    given = columns if shift is None else shift
    with on_device_of(x):
        gather_kernel[own.programs(rows)](x, columns, given, out, rows, channels, count, shift is not None, *own)
    return out


def norm_relu_(x: Tensor, constant: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> None:
    """Changes what the operation does."""
    (rows, pitch), (period, channels) = x.shape, constant.shape
    own = whole_rows(channels)
    norm = constant if weight is None else weight, constant if bias is None else bias
    with on_device_of(x):
        norm_relu_kernel[own.programs(rows)](
            x, constant, *norm, rows, period, eps, channels, pitch, weight is not None, *own
        )


def couple_(stored: Tensor, r: Tensor, bias: Tensor, columns: Tensor, factor: float, arctangent: bool) -> None:
    """Changes what the operation does."""
    r, (rows, channels), count = r.contiguous(), stored.shape, columns.shape[0]
    own = tile(count)
    with on_device_of(stored):
        couple_kernel[own.programs(rows)](stored, r, bias, columns, rows, factor, channels, count, arctangent, *own)


def log_likelihood(stored: Tensor, scale: Tensor, limit: float) -> Tensor:
    """Returns what the operation does."""
    rows, channels = stored.shape
    out, own = stored.new_empty(rows), whole_rows(channels)
    with on_device_of(stored):
        log_likelihood_kernel[own.programs(rows)](stored, scale, out, rows, limit, channels, *own)
    return out
