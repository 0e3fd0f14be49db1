"""Convolutions whose bias, residual, activation and reflected margin are left to one kernel behind or before them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from msflow_stream.model.fused.kernels import Activation, finish

Padding = tuple[int, int]


class Tail(nn.Module):
    """What follows a convolution: bias, residual and activation, with the margin that the next convolution reads.

    Args:
        bias: float32, or none.
        activation: at the end.
        padding: rows and columns of the reflected margin on each side.
        dtype: of the result.
        channels: of the result, if they are more than those of the input: the others are 0.
    """

    bias: Tensor | None

    def __init__(
        self, bias: Tensor | None, activation: Activation, padding: Padding, dtype: torch.dtype, channels: int = 0
    ) -> None:
        super().__init__()
        self.register_buffer("bias", bias, persistent=False)
        self.activation, self.padding, self.dtype, self.channels = activation, list(padding), dtype, channels

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Returns B C H' W', channels-last."""
        if residual is not None:
            x, residual = torch.broadcast_tensors(x, residual)  # type: ignore[no-untyped-call]
        found: Tensor = finish(x, self.bias, residual, self.activation, self.padding, self.dtype, self.channels)
        return found

    def extra_repr(self) -> str:
        """Returns what is done."""
        return f"activation={self.activation}, padding={self.padding}, bias={self.bias is not None}"


class ReflectedConvolution(nn.Module):
    """A convolution with reflect padding, whose input gets its margin by a kernel of its own.

    Args:
        convolution: is used up.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.padding, self.convolution = take_padding(convolution), convolution

    def forward(self, x: Tensor) -> Tensor:
        """Returns B C' H' W'."""
        found: Tensor = self.convolution(finish(x, None, None, "none", self.padding, x.dtype, 0))
        return found


def take_padding(convolution: nn.Conv2d) -> Padding:
    """Returns the reflect padding of a convolution that will have none."""
    assert not isinstance(convolution.padding, str)
    y, x = convolution.padding
    convolution.padding, convolution.padding_mode = (0, 0), "zeros"
    return y, x
