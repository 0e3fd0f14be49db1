"""How much memory a network takes."""

from __future__ import annotations

from torch import nn


def weights_bytes(module: nn.Module) -> int:
    """Of its parameters and buffers."""
    return sum(value.nbytes for value in (*module.parameters(), *module.buffers()))
