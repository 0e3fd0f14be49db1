"""The operations of the fusion flow on a GPU that take one scale to the size of another."""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from msflow_stream.model.fused.kernels.cuda.tiling import on_device_of, tile


@triton.jit(do_not_specialize=["rows"])
def pool_kernel(
    pooled, pixels, rows, start, pitch,
    H: tl.constexpr, W: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, C: tl.constexpr,
    DOWN: tl.constexpr, ACROSS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Means of the windows of `adaptive_avg_pool2d`, which reach over at most `DOWN` rows and `ACROSS` columns."""
    program = tl.program_id(0)
    row = program // PARTS * ROWS + tl.arange(0, ROWS)
    channel = program % PARTS * WIDTH + tl.arange(0, WIDTH)
    inside = (row < rows)[:, None] & (channel < C)[None, :]
    image, i, j = row // (SH * SW), row // SW % SH, row % SW
    top, bottom = i * H // SH, ((i + 1) * H + SH - 1) // SH
    left, right = j * W // SW, ((j + 1) * W + SW - 1) // SW
    total = tl.zeros((ROWS, WIDTH), tl.float32)
    for down in range(DOWN):
        for across in range(ACROSS):
            y, x = top + down, left + across
            at = ((image.to(tl.int64) * H + y) * W + x) * C
            read = inside & ((y < bottom) & (x < right))[:, None]
            total += tl.load(pixels + (at[:, None] + channel[None, :]), mask=read, other=0).to(tl.float32)
    mean = total / ((bottom - top) * (right - left)).to(tl.float32)[:, None]
    to = row.to(tl.int64) * pitch + start
    tl.store(pooled + (to[:, None] + channel[None, :]), mean.to(pooled.dtype.element_ty), mask=inside)


@triton.jit
def _tap(crossed, bias, image, y, x, channel, inside, SH: tl.constexpr, SW: tl.constexpr, PITCH: tl.constexpr):
    """`relu(crossed + bias)` at one place of the small images."""
    at = ((image.to(tl.int64) * SH + y) * SW + x) * PITCH
    value = tl.load(crossed + (at[:, None] + channel[None, :]), mask=inside, other=0).to(tl.float32) + bias
    return tl.where(value < 0, 0.0, value)


@triton.jit(do_not_specialize=["rows"])
def add_crossed_kernel(
    pixels, crossed, bias, rows, down, across,
    START: tl.constexpr, PITCH: tl.constexpr,
    H: tl.constexpr, W: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, C: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """`pixels += stretched(relu(crossed + bias))`; a step of a pixel is `down`, `across` steps of the small images."""
    program = tl.program_id(0)
    first = (program // PARTS).to(tl.int64) * ROWS
    row, channel = tl.arange(0, ROWS), program % PARTS * WIDTH + tl.arange(0, WIDTH)
    inside = (first + row < rows)[:, None] & (channel < C)[None, :]
    pixel = first.to(tl.int32) + row
    image, y, x = pixel // (H * W), (pixel // W % H).to(tl.float32) * down, (pixel % W).to(tl.float32) * across
    top, left = tl.minimum(y.to(tl.int32), SH - 1), tl.minimum(x.to(tl.int32), SW - 1)
    low, right = tl.minimum(top + 1, SH - 1), tl.minimum(left + 1, SW - 1)
    v, u = (y - top)[:, None], (x - left)[:, None]
    source = START + channel
    shift = tl.load(bias + source, mask=channel < C, other=0)[None, :]
    upper = _tap(crossed, shift, image, top, left, source, inside, SH, SW, PITCH) * (1 - u)
    upper += _tap(crossed, shift, image, top, right, source, inside, SH, SW, PITCH) * u
    lower = _tap(crossed, shift, image, low, left, source, inside, SH, SW, PITCH) * (1 - u)
    lower += _tap(crossed, shift, image, low, right, source, inside, SH, SW, PITCH) * u
    at = pixels + first * C + (row[:, None] * C + channel[None, :])
    value = tl.load(at, mask=inside, other=0).to(tl.float32) + upper * (1 - v) + lower * v
    tl.store(at, value.to(pixels.dtype.element_ty), mask=inside)


def pool_(pooled: Tensor, start: int, pixels: Tensor, size: Sequence[int], small: Sequence[int]) -> None:
    """Changes what the operation does."""
    rows, channels = pooled.shape[0], pixels.shape[1]
    own, windows = tile(channels), [_longest(*pair) for pair in zip(size, small, strict=True)]
    with on_device_of(pooled):
        pool_kernel[own.programs(rows)](
            pooled, pixels, rows, start, pooled.shape[1], *size, *small, channels, *windows, *own
        )


def _longest(length: int, small: int) -> int:
    """The longest window of `adaptive_avg_pool2d`."""
    return max(-(-(i + 1) * length // small) - i * length // small for i in range(small))


def add_crossed_(
    pixels: Tensor, crossed: Tensor, bias: Tensor, start: int, size: Sequence[int], small: Sequence[int]
) -> None:
    """Changes what the operation does."""
    (rows, channels), pitch = pixels.shape, crossed.shape[1]
    steps = [(few - 1) / (many - 1) if many > 1 else 0.0 for few, many in zip(small, size, strict=True)]
    own = tile(channels)
    with on_device_of(pixels):
        add_crossed_kernel[own.programs(rows)](
            pixels, crossed, bias, rows, *steps, start, pitch, *size, *small, channels, *own
        )
