"""The operations of a coupling block beside its two convolutions, on stored values (N C) that stay where they are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from msflow_stream.model.fused.kernels.operation import operation


def _picked(x: Tensor, columns: Tensor, shift: Tensor | None, dtype: torch.dtype) -> Tensor:
    return x.new_empty((x.shape[0], columns.shape[0]), dtype=dtype)


@operation(_picked)
def gather(x: Tensor, columns: Tensor, shift: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Returns `x[:, columns] + shift` (N K) in `dtype`.

    Args:
        x: N C of any float type.
        columns: int32, K; -1 stands for zeros.
        shift: float32, K; or none.
        dtype: of the result.
    """
    picked = x.index_select(1, columns.clamp(min=0)).float().masked_fill_(columns < 0, 0)
    return (picked if shift is None else picked + shift).to(dtype)


@operation(changes=["x"])
def norm_relu_(x: Tensor, constant: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> None:
    """Changes x to `relu(layer_norm(x + constant))`, over the channels; without a weight, to `relu(x + constant)`.

    Args:
        x: N C, and perhaps further channels, which are left alone.
        constant: float32, P C, repeated along N, a multiple of P.
        weight: float32, C.
        bias: float32, C.
        eps: of the norm.
    """
    own = x[:, : constant.shape[1]]
    values = own.reshape(-1, *constant.shape).float() + constant
    if weight is not None:
        values = F.layer_norm(values, weight.shape, weight, bias, eps)
    own.copy_(values.relu_().view_as(own))


@operation(changes=["stored"])
def couple_(stored: Tensor, r: Tensor, bias: Tensor, columns: Tensor, factor: float, arctangent: bool) -> None:
    """Changes the `columns` of the stored values to `exp(factor tanh(s)) v + t`, with s and t the halves of r + bias.

    Args:
        stored: float32, N C.
        r: N 2A.
        bias: float32, 2A.
        columns: int32, A, none twice.
        factor: of the hyperbolic tangent.
        arctangent: in the place of the hyperbolic tangent, as in the fusion flow.
    """
    s, t = (r.float() + bias).chunk(2, 1)
    scale = (s.atan() if arctangent else s.tanh()).mul_(factor).exp_()
    index = columns.long()
    stored.index_copy_(1, index, torch.addcmul(t, stored.index_select(1, index), scale))


def _rows(stored: Tensor, scale: Tensor, limit: float) -> Tensor:
    return stored.new_empty(stored.shape[0])


@operation(_rows)
def log_likelihood(stored: Tensor, scale: Tensor, limit: float) -> Tensor:
    """Returns `-1/2 mean_c z^2` (N) of `z = scale * stored`, whose values are clamped to `limit`.

    Args:
        stored: float32, N C.
        scale: float32, C.
        limit: may be infinite.
    """
    return (stored * scale).clamp_(-limit, limit).square_().mean(1).mul_(-0.5)
