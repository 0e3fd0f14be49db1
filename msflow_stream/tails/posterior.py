"""What a few excesses leave open: all generalised Pareto distributions, each as likely as they make it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from msflow_stream.scenes.tails.pareto import SHAPES, Floats, log_likelihood, log_survival

SHAPE_STEPS, SCALE_STEPS = 61, 101
WIDTH = 5.0  # standard errors of the logarithm of the scale, to either side
NEGLIGIBLE = 1e-9


@dataclass(frozen=True, slots=True)
class Posterior:
    """Shapes, scales and their weights (N each, the weights add up to 1), from the flat prior over shape and log scale.

    The mean over it is what to expect of excesses to come. The most likely distribution alone promises too little:
    beyond the longest footage there is, its rates are exceeded more often than not.
    """

    shape: Floats
    scale: Floats
    weight: Floats

    @classmethod
    def of(cls, excesses: Floats) -> Posterior:
        """Given at least one excess above 0."""
        shape = np.linspace(*SHAPES, SHAPE_STEPS)
        width = WIDTH * math.sqrt(2 * (1 + SHAPES[1]) / len(excesses))
        middle = excesses.mean() * (1 - shape)  # of the scale, were the mean excess exact
        scale = middle[:, None] * np.exp(np.linspace(-width, width, SCALE_STEPS))  # S C
        likelihood = log_likelihood(excesses, shape, scale)
        weight = np.exp(likelihood - likelihood.max())
        weight /= weight.sum()
        kept = weight > NEGLIGIBLE
        shapes = np.broadcast_to(shape[:, None], scale.shape)
        return cls(shapes[kept], scale[kept], weight[kept] / weight[kept].sum())

    def survival(self, excess: npt.ArrayLike) -> Floats:
        """P(Y > y) of an excess to come, per y (N)."""
        given = np.asarray(excess, np.float64)
        result: Floats = np.exp(log_survival(given[:, None], self.shape, self.scale)) @ self.weight
        return result

    def draw(self, count: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Shapes and scales, as often as they are likely."""
        chosen = random.choice(len(self.weight), count, p=self.weight)
        return self.shape[chosen], self.scale[chosen]
