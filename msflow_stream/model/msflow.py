"""MSFlow: features of several scales in, latent variables and log-determinant out (Zhou et al., TNNLS 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from msflow_stream.model.flows import Norm, parallel_flow, position_condition
from msflow_stream.model.fusion import FusionFlow


class MSFlow(nn.Module):
    """Asymmetric parallel flows, one per scale, then the fusion flow across scales.

    Args:
        channels: C_l of every scale, finest first.
        blocks: coupling blocks per scale.
        condition_channels: channels of the position condition, 0 for none.
        clamp: the affine clamp a of all couplings.
        fusion: False leaves the fusion flow out (an ablation of the paper).
        norm: normalisation in the subnets of the parallel flows.
        seed: of the permutations and of the initial weights; nothing else influences them.

    Raises:
        ValueError: an odd number of channels with fusion, or lists of different lengths.
    """

    def __init__(
        self,
        channels: Sequence[int],
        blocks: Sequence[int] = (2, 5, 8),
        condition_channels: int = 64,
        clamp: float = 1.9,
        fusion: bool = True,
        norm: Norm = "layer",
        seed: int = 9826,
    ) -> None:
        super().__init__()
        if len(channels) != len(blocks):
            raise ValueError(f"{len(channels)} scales but blocks for {len(blocks)}: {list(channels)}, {list(blocks)}")
        self.condition_channels = condition_channels
        rng = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.parallel_flows = nn.ModuleList(
                parallel_flow(c, n, condition_channels, clamp, norm, rng) for c, n in zip(channels, blocks, strict=True)
            )
            self.fusion_flow = FusionFlow(channels, clamp, rng) if fusion else None
        self.to(memory_format=torch.channels_last)  # what the normalisation over channels likes

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Returns z per scale (B C_l H_l W_l, as the features) and the log-determinant of the whole (B)."""
        outputs, logdets = self.parallel(features)
        logdet = torch.stack(logdets).sum(0)
        if self.fusion_flow is None:
            return outputs, logdet
        z, fusion_logdet = self.fusion_flow(outputs)
        return z, logdet + fusion_logdet

    def parallel(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Returns the outputs and log-determinants (B each) of the parallel flows alone."""
        pairs = [flow(x, self._condition(x)) for flow, x in zip(self.parallel_flows, features, strict=True)]
        return [z for z, _ in pairs], [logdet for _, logdet in pairs]

    def inverse(self, z: Sequence[Tensor]) -> list[Tensor]:
        """Returns the features that `forward` maps to z."""
        outputs = list(z) if self.fusion_flow is None else self.fusion_flow.inverse(z)[0]
        return [flow(y, self._condition(y), rev=True)[0] for flow, y in zip(self.parallel_flows, outputs, strict=True)]

    def _condition(self, x: Tensor) -> list[Tensor]:
        if not self.condition_channels:
            return []
        condition = position_condition(self.condition_channels, x.shape[2], x.shape[3], x.device).to(x.dtype)
        return [condition.expand(len(x), -1, -1, -1)]


def negative_log_likelihood(z: Sequence[Tensor], logdet: Tensor) -> Tensor:
    """Returns `sum_l 1/2 ||z_l||^2 - logdet` of every image (B), up to the constant of the normal density.

    Its mean over the batch is the loss of MSFlow.
    """
    return torch.stack([0.5 * (one**2).sum((1, 2, 3)) for one in z]).sum(0) - logdet
