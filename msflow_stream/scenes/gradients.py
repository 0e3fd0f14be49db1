"""The gradients of a batch: its parts on threads beside one another, summed in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from msflow_stream.config.settings import ModelSettings
from msflow_stream.model.msflow import MSFlow, negative_log_likelihood
from msflow_stream.scenes.parts import Workers
from msflow_stream.series import batched

PART = 4  # frames; the sums depend on it, so it is the same on any machine


class Likelihood(Protocol):
    """A way to compute what a flow is fitted by."""

    def weights(self) -> list[Callable[[], list[Tensor]]]:
        """Returns what makes the weights that `nll` computes with, once per batch: functions of disjoint parameters.

        A weight is a parameter, or computed from parameters that are no weights themselves.
        """

    def nll(self, features: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        """Returns the negative log-likelihood of every frame (B)."""


class PlainLikelihood:
    """The flow as it is, its convolutions in `dtype`."""

    def __init__(self, flow: MSFlow, dtype: torch.dtype = torch.float32) -> None:
        self.flow, self.dtype = flow, dtype

    def weights(self) -> list[Callable[[], list[Tensor]]]:
        """Returns what returns the parameters."""
        return [lambda: [p for p in self.flow.parameters() if p.requires_grad]]

    def nll(self, features: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        """Returns the negative log-likelihood of every frame (B); `weights` are those of the flow."""
        with torch.autocast(features[0].device.type, self.dtype, enabled=self.dtype != torch.float32):
            z, logdet = self.flow(features)
        return negative_log_likelihood(z, logdet)


class _Part(NamedTuple):
    """The sum of the losses of a part's frames, the number of their values, and the gradients."""

    loss: Tensor
    values: int
    gradients: tuple[Tensor, ...]


class BatchGradients:
    """The way from frames to the gradients of their mean loss.

    Args:
        likelihood: of the flow.
        batch: gives the features of frames.
        workers: who compute the parts.
        split: whether frames may be computed apart: where one depends on the others, as with batch norms, they may not.
    """

    def __init__(
        self,
        likelihood: Likelihood,
        batch: Callable[[Sequence[int]], list[Tensor]],
        workers: Workers,
        split: bool,
    ) -> None:
        self.likelihood, self.batch, self.workers, self.split = likelihood, batch, workers, split

    def of(
        self, positions: Sequence[int], scaled: Callable[[Tensor], Tensor] = lambda loss: loss
    ) -> tuple[Tensor, int]:
        """Sets the parameters' gradients; returns the mean loss of the frames, and how many values one has."""
        weights = self.workers.map(lambda make: make(), self.likelihood.weights())
        leaves = [w if w.is_leaf else w.detach().requires_grad_() for w in chain.from_iterable(weights)]

        def part(frames: Sequence[int]) -> _Part:
            features = self.batch(frames)
            loss = self.likelihood.nll(features, leaves).sum() / len(positions)
            gradients = torch.autograd.grad(scaled(loss), leaves)
            return _Part(loss.detach(), sum(f[0].numel() for f in features), gradients)

        parts = self.workers.map(part, list(batched(positions, PART)) if self.split else [positions])
        total = list(parts[0].gradients)
        for other in parts[1:]:
            torch._foreach_add_(total, other.gradients)
        along = iter(total)
        self.workers.map(_backward, [[(weight, next(along)) for weight in made] for made in weights])
        return torch.stack([one.loss for one in parts]).sum(), parts[0].values


def _backward(weights: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Gives weights' gradients on to the parameters that they are made of, which have none yet."""
    functions = []
    for weight, gradient in weights:
        if weight.is_leaf:
            weight.grad = gradient
            if gradient.stride() != weight.stride():  # fused Adam needs the same memory format
                weight.grad = torch.empty_like(weight).copy_(gradient)
        else:
            functions.append((weight, gradient))
    if functions:
        roots, along = zip(*functions, strict=True)
        torch.autograd.backward(roots, along)


def can_fuse(settings: ModelSettings, device: torch.device, dtype: torch.dtype) -> bool:
    """Returns whether `FusedLikelihood` knows such a flow, and whether it is faster there."""
    return device.type == "cpu" and dtype == torch.float32 and settings.norm == "layer"


def can_split(settings: ModelSettings, device: torch.device, dtype: torch.dtype) -> bool:
    """Returns whether frames can be computed apart (batch norms mix them), and whether that is faster."""
    return device.type == "cpu" and dtype == torch.float32 and settings.norm != "batch"
