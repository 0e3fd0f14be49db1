"""The fusion flow: a two-sided affine coupling that lets the scales see one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msflow_stream.model.flows import ChannelLayerNorm

ATAN_GAIN = 0.636  # about 2/pi: maps atan to (-1, 1)
OUTPUT_LIMIT = 1e6  # z is clamped here, so that one broken frame cannot turn a loss into infinity


class FusionNetwork(nn.Module):
    """The network N of the fusion flow: one half of every scale to log-scales s and shifts t for the other half."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)
        total = sum(channels)
        squeezed = max(1, total // 4)
        self.squeeze = nn.Conv2d(total, squeezed, 3, padding=1)
        self.norm = ChannelLayerNorm(squeezed)
        self.expand = nn.Conv2d(squeezed, total, 3, padding=1)
        self.conv_s = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for c in channels)
        self.conv_t = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for c in channels)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Returns s and t per scale (B C_l H_l W_l, as the inputs)."""
        sizes = [(u.shape[2], u.shape[3]) for u in inputs]
        smallest = min(sizes, key=lambda size: size[0] * size[1])
        pooled = torch.cat([F.adaptive_avg_pool2d(u, smallest) for u in inputs], 1)  # B sum(C) h w
        # The ReLU before the split is part of the method, although it keeps the cross term positive.
        crossed = F.relu(self.expand(F.relu(self.norm(self.squeeze(pooled)))))
        context = [
            u + F.interpolate(part, size=size, mode="bilinear", align_corners=True)
            for u, part, size in zip(inputs, torch.split(crossed, self.channels, 1), sizes, strict=True)
        ]
        # Autocast or not: atan, exp and the log-determinant need the digits of the inputs.
        s = [conv(c).to(c.dtype) for conv, c in zip(self.conv_s, context, strict=True)]
        t = [conv(c).to(c.dtype) for conv, c in zip(self.conv_t, context, strict=True)]
        return s, t


class FusionFlow(nn.Module):
    """A fixed channel permutation per scale, then one two-sided coupling across scales.

    `z, logdet = flow(xs)` with xs and z lists of B C_l H_l W_l and logdet B; `flow.inverse(z)` undoes it.
    """

    def __init__(self, channels: Sequence[int], clamp: float, rng: np.random.Generator) -> None:
        super().__init__()
        odd = [c for c in channels if c % 2]
        if odd:
            raise ValueError(f"the fusion flow needs an even number of channels at every scale, not {odd[0]}")
        self.clamp = clamp
        for scale, count in enumerate(channels):
            self.register_buffer(f"perm{scale}", torch.from_numpy(rng.permutation(count)))
        halves = [c // 2 for c in channels]
        self.subnet_1 = FusionNetwork(halves)
        self.subnet_2 = FusionNetwork(halves)

    def permutation(self, scale: int) -> Tensor:
        """The index vector of one scale: `y[:, i] = x[:, perm[i]]`."""
        return self.get_buffer(f"perm{scale}")

    def _log_scale(self, s: Tensor) -> Tensor:
        return self.clamp * ATAN_GAIN * torch.atan(s / self.clamp)

    def _couple(
        self, halves: Sequence[Tensor], s: Sequence[Tensor], t: Sequence[Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        log_scales = [self._log_scale(one) for one in s]
        outputs = [torch.exp(e) * x + shift for e, x, shift in zip(log_scales, halves, t, strict=True)]
        return outputs, torch.stack([e.sum((1, 2, 3)) for e in log_scales]).sum(0)

    def _uncouple(
        self, halves: Sequence[Tensor], s: Sequence[Tensor], t: Sequence[Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        log_scales = [self._log_scale(one) for one in s]
        outputs = [torch.exp(-e) * (y - shift) for e, y, shift in zip(log_scales, halves, t, strict=True)]
        return outputs, -torch.stack([e.sum((1, 2, 3)) for e in log_scales]).sum(0)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Returns zs (as the inputs) and the logdet (B)."""
        permuted = [x.index_select(1, self.permutation(scale)) for scale, x in enumerate(inputs)]
        x1, x2 = _halves(permuted)
        y1, logdet_1 = self._couple(x1, *self.subnet_2(x2))
        y2, logdet_2 = self._couple(x2, *self.subnet_1(y1))
        z = [torch.cat(pair, 1).clamp(-OUTPUT_LIMIT, OUTPUT_LIMIT) for pair in zip(y1, y2, strict=True)]
        return z, logdet_1 + logdet_2

    def inverse(self, outputs: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Returns the xs and the logdet of the inverse (minus that of the forward), for outputs inside the clamp."""
        y1, y2 = _halves(outputs)
        x2, logdet_2 = self._uncouple(y2, *self.subnet_1(y1))
        x1, logdet_1 = self._uncouple(y1, *self.subnet_2(x2))
        permuted = [torch.cat(pair, 1) for pair in zip(x1, x2, strict=True)]
        return [x[:, self.permutation(scale).argsort()] for scale, x in enumerate(permuted)], logdet_1 + logdet_2


def _halves(tensors: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    pairs = [x.chunk(2, 1) for x in tensors]
    return [first for first, _ in pairs], [second for _, second in pairs]
