"""Calls of every operation beside the convolutions: odd sizes, channels that are no power of 2, each type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from msflow_stream.model.fused import kernels as plain

TYPES = torch.float32, torch.bfloat16, torch.float16
Case = tuple[str, Callable[[Any], Tensor]]


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return (1.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))).to(dtype)


def drawn(channels: int, count: int) -> Tensor:
    return torch.randperm(channels, generator=torch.Generator().manual_seed(channels))[:count].int()


def changed(value: Tensor, change: Callable[[Tensor], None]) -> Tensor:
    """What a tensor of one's own becomes."""
    own = value.clone()
    change(own)
    return own


def flow_cases() -> Iterator[Case]:
    for dtype, rows, channels, count in ((TYPES[0], 37, 8, 3), (TYPES[1], 70, 42, 25), (TYPES[2], 9, 600, 280)):
        x, columns, shift = noise(rows, channels, dtype=dtype), drawn(channels, count), noise(count)
        some = torch.cat([columns[:-1], columns.new_full((1,), -1)])  # with zeros at the end
        yield f"gather {count}", lambda ops, x=x, c=some, d=dtype: ops.gather(x, c, None, d)
        for given in (shift, None):
            yield f"gather {count}", lambda ops, x=x, c=columns, g=given, d=dtype: ops.gather(x, c, g, d)
        r, bias, stored = noise(rows, 2 * count, dtype=dtype), noise(2 * count), noise(rows, channels)
        for bent in (False, True):
            yield (
                f"couple {count} {bent}",
                lambda ops, s=stored, *a, p=(r, bias, columns, 1.3, bent): changed(s, lambda o: ops.couple_(o, *p)),
            )
        scale = noise(channels)
        for limit in (2.5, float("inf")):
            yield f"log_likelihood {channels}", lambda ops, s=stored, f=scale, n=limit: ops.log_likelihood(s, f, n)


def norm_cases() -> Iterator[Case]:
    for dtype, images, period, channels in ((TYPES[0], 3, 7, 5), (TYPES[1], 2, 15, 76), (TYPES[2], 11, 1, 300)):
        x, constant = noise(images * period, channels + channels % 2, dtype=dtype), noise(period, channels)
        for norm in ((noise(channels), noise(channels).flip(0)), (None, None)):
            given = constant, *norm, 1e-5
            yield f"norm_relu {channels}", lambda ops, x=x, g=given: changed(x, lambda o: ops.norm_relu_(o, *g))


def fusion_cases() -> Iterator[Case]:
    sizes = ((8, 12), (4, 6)), ((7, 5), (3, 2)), ((3, 4), (3, 4)), ((5, 1), (1, 1))
    for dtype, (size, small), channels in zip((*TYPES, TYPES[1]), sizes, (6, 20, 130, 4), strict=True):
        pixels, pooled = (
            noise(2 * size[0] * size[1], channels, dtype=dtype),
            noise(2 * small[0] * small[1], 140).to(dtype),
        )
        given = 3, pixels, size, small
        yield f"pool {size}", lambda ops, x=pooled, g=given: changed(x, lambda o: ops.pool_(o, *g))
        across = pooled, noise(140), 5, size, small
        yield f"add_crossed {size}", lambda ops, x=pixels, g=across: changed(x, lambda o: ops.add_crossed_(o, *g))


def image_cases() -> Iterator[Case]:
    for number, activation in enumerate(plain.ACTIVATIONS):
        dtype, channels = TYPES[number % 3], (5, 24, 70)[number % 3]
        x = noise(2, channels, 6, 5, dtype=dtype).to(memory_format=torch.channels_last)
        residual = x.flip(2) if number % 2 else None
        for padding in ((0, 0), (3, 2)):
            given = x, noise(channels), residual, activation, padding, dtype, 0
            yield f"finish {activation} {padding}", lambda ops, g=given: ops.finish(*g)
    images = noise(2, 3, 9, 7)
    yield "finish images", lambda ops: ops.finish(images, None, None, "none", (3, 3), torch.bfloat16, 8)
    yield (
        "finish images",
        lambda ops: ops.finish(images[..., 1:], None, images[..., 1:], "none", (0, 0), torch.float32, 0),
    )


def broken_cases() -> Iterator[Case]:
    broken = torch.full((1, 3, 4, 4), torch.nan)
    for activation in plain.ACTIVATIONS:
        yield (
            "finish nan",
            lambda ops, a=activation: ops.finish(broken, None, None, a, (1, 1), torch.float32, 0).isnan(),
        )
    pixels, constant = broken[0, :, 0], torch.zeros(1, 4)
    yield "norm_relu nan", lambda ops: changed(pixels, lambda o: ops.norm_relu_(o, constant, None, None, 0.0)).isnan()
    yield "log_likelihood nan", lambda ops: ops.log_likelihood(pixels, torch.ones(4), 1e6).isnan()


def all_cases() -> Iterator[Case]:
    """Names, and functions that compute something by the operations of a module; they change no tensor."""
    for make in (flow_cases, norm_cases, fusion_cases, image_cases, broken_cases):
        yield from make()


def steps_between(found: Tensor, expected: Tensor) -> float:
    """The largest difference, in units of what the type can tell apart at the largest value."""
    assert (found.dtype, found.shape, found.stride()) == (expected.dtype, expected.shape, expected.stride())
    unit = torch.finfo(found.dtype).eps if found.is_floating_point() else 1
    difference = (found.double() - expected.double()).abs().max()
    return float(difference / (expected.double().abs().max() * unit))
