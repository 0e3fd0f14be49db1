"""Functions of a value by itself, in float32, inside kernels."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tangent(x):
    """The hyperbolic tangent, to 1e-7."""
    return 1.0 - 2.0 / (tl.exp(2.0 * x) + 1.0)


@triton.jit
def arctangent(x):
    """The arctangent, to 1e-7: Cephes' polynomial between -tan(pi/8) and tan(pi/8), to which the rest is folded."""
    size = tl.abs(x)
    far, near = size > 2.414213562373095, size <= 0.4142135623730950
    folded = tl.where(far, -1.0 / size, tl.where(near, size, (size - 1.0) / (size + 1.0)))
    square = folded * folded
    series = ((8.05374449538e-2 * square - 1.38776856032e-1) * square + 1.99777106478e-1) * square - 3.33329491539e-1
    start = tl.where(far, 1.5707963267948966, tl.where(near, 0.0, 0.7853981633974483))
    angle = start + (series * square * folded + folded)
    return tl.where(x < 0, -angle, angle)


@triton.jit
def activated(x, ACTIVATION: tl.constexpr):
    """One of the activations, by name; what is no number stays so."""
    if ACTIVATION == "relu":
        x = tl.where(x < 0, 0.0, x)
    if ACTIVATION == "relu6":
        x = tl.where(x < 0, 0.0, tl.where(x > 6, 6.0, x))
    if ACTIVATION == "silu":
        x = x / (1.0 + tl.exp(-x))
    if ACTIVATION == "hardswish":
        raised = x + 3.0
        x = x * tl.where(raised < 0, 0.0, tl.where(raised > 6, 6.0, raised)) / 6.0
    return x
