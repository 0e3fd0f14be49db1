"""What follows a convolution, on a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from msflow_stream.model.fused.kernels.cuda.functions import activated
from msflow_stream.model.fused.kernels.cuda.tiling import on_device_of, tile


@triton.jit
def _reflected(place, length):
    place = tl.abs(place)
    return tl.where(place >= length, 2 * (length - 1) - place, place)


@triton.jit(do_not_specialize=["rows"])
def finish_kernel(
    x, bias, residual, out, rows, height, width, by_image, by_row, by_column, by_channel,
    TOP: tl.constexpr, LEFT: tl.constexpr, C: tl.constexpr, MADE: tl.constexpr,
    BIASED: tl.constexpr, ADDED: tl.constexpr, LAST: tl.constexpr, ACTIVATION: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """`out = reflected(activation(x + bias + residual))`, all but x channels-last, with x as its strides say or so too.

    Channels of `out` beyond the C of x are 0.
    """
    program = tl.program_id(0)
    first = (program // PARTS).to(tl.int64) * ROWS
    row, channel = tl.arange(0, ROWS), program % PARTS * WIDTH + tl.arange(0, WIDTH)
    own = (first + row < rows)[:, None]
    inside = own & (channel < C)[None, :]
    high, wide = height + 2 * TOP, width + 2 * LEFT
    pixel = first.to(tl.int32) + row
    image = (pixel // (high * wide)).to(tl.int64)
    i, j = _reflected(pixel // wide % high - TOP, height), _reflected(pixel % wide - LEFT, width)
    place = ((image * height + i) * width + j) * C
    if LAST:
        at = place[:, None] + channel[None, :]
    else:
        at = (image * by_image + i * by_row + j * by_column)[:, None] + (channel * by_channel)[None, :]
    value = tl.load(x + at, mask=inside, other=0).to(tl.float32)
    if BIASED:
        value += tl.load(bias + channel, mask=channel < C, other=0)[None, :]
    if ADDED:
        value += tl.load(residual + (place[:, None] + channel[None, :]), mask=inside, other=0).to(tl.float32)
    value = activated(value, ACTIVATION).to(out.dtype.element_ty)
    to = out + first * MADE + (row[:, None] * MADE + channel[None, :])
    tl.store(to, value, mask=own & (channel < MADE)[None, :])


def finish(
    x: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    activation: str,
    padding: Sequence[int],
    dtype: torch.dtype,
    channels: int,
) -> Tensor:
    """Returns what the operation does."""
    (batch, given, height, width), (top, left) = x.shape, padding
    made = max(given, channels)
    size = batch, height + 2 * top, width + 2 * left, made
    out, own, rows = x.new_empty(size, dtype=dtype), tile(made), batch * size[1] * size[2]
    last = x.is_contiguous(memory_format=torch.channels_last)
    if residual is not None:
        residual = residual.contiguous(memory_format=torch.channels_last)
    by_image, by_channel, by_row, by_column = (0, 0, 0, 0) if last else x.stride()
    terms = x if bias is None else bias, x if residual is None else residual
    with on_device_of(x):
        finish_kernel[own.programs(rows)](
            x, *terms, out, rows, height, width, by_image, by_row, by_column, by_channel,
            top, left, given, made, bias is not None, residual is not None, last, activation, *own,
        )  # fmt: skip
    return out.permute(0, 3, 1, 2)
