"""What follows a convolution: bias, residual and activation, written where the next convolution reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from msflow_stream.model.fused.kernels.operation import operation

Activation = Literal["none", "relu", "relu6", "silu", "hardswish"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "hardswish": F.hardswish,
}


def _framed(
    x: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    activation: str,
    padding: Sequence[int],
    dtype: torch.dtype,
    channels: int,
) -> Tensor:
    batch, given, height, width = x.shape
    size = (batch, height + 2 * padding[0], width + 2 * padding[1], max(given, channels))
    return x.new_empty(size, dtype=dtype).permute(0, 3, 1, 2)


@operation(_framed)
def finish(
    x: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    activation: str,
    padding: Sequence[int],
    dtype: torch.dtype,
    channels: int,
) -> Tensor:
    """Returns `activation(x + bias + residual)`, channels-last, with a reflected margin.

    Args:
        x: B C H W of any float type, in any order of memory.
        bias: float32, C; or none.
        residual: as x; or none.
        activation: one of ACTIVATIONS.
        padding: rows above and below, columns left and right.
        dtype: of the result.
        channels: of the result, if more than those of x: the others are 0.
    """
    y = x.float()
    if bias is not None:
        y = y + bias[:, None, None]
    if residual is not None:
        y = y + residual.float()
    y = FUNCTIONS[activation](y)
    if any(padding):
        above, left = padding
        y = F.pad(y, (left, left, above, above), "reflect")
    made = _framed(x, bias, residual, activation, padding, dtype, channels)
    made[:, : x.shape[1]], made[:, x.shape[1] :] = y, 0
    return made
