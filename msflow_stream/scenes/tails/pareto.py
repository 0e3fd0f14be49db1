"""The generalised Pareto distribution, which excesses over a high level have, whatever the scores are like below.

Coles, An Introduction to Statistical Modeling of Extreme Values (2001), chapter 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SHAPES = (-0.5, 0.5)  # below the likelihood has no usual maximum, above excesses have no variance
NEARLY_ZERO = 1e-6  # shapes in which the distribution cannot be told from an exponential one
STEPS, ROUNDS = 61, 4  # of the search for the maximum
SMALLEST_CHANCE = 1e-12  # keeps logarithms finite
SHAPE_STEPS, SCALE_STEPS = 61, 101
WIDTH = 5.0  # standard errors of the logarithm of the scale, to either side
NEGLIGIBLE = 1e-9


@dataclass(frozen=True, slots=True)
class Pareto:
    """The distribution with P(Y > y) = (1 + shape y / scale)^(-1 / shape) for y > 0; exponential for a shape of 0."""

    shape: float
    scale: float

    def log_survival(self, excess: npt.ArrayLike) -> Floats:
        """Returns log P(Y > y); minus infinity beyond the end of a tail that ends."""
        return log_survival(np.asarray(excess, np.float64), np.float64(self.shape), np.float64(self.scale))

    def errors(self, count: int) -> tuple[float, float]:
        """Returns the standard errors of shape and scale as estimated from so many excesses (Smith, 1987)."""
        rest = 1 + self.shape
        return rest / math.sqrt(count), self.scale * math.sqrt(2 * rest / count)

    def draw(self, count: int, random: np.random.Generator) -> Floats:
        """Draws excesses of this distribution."""
        return excess_at(random.exponential(size=count), np.float64(self.shape), np.float64(self.scale))


def log_survival(excess: Floats, shape: Floats | np.float64, scale: Floats | np.float64) -> Floats:
    """Returns log P(Y > y) of arrays that broadcast."""
    small = np.abs(shape) < NEARLY_ZERO
    safe = np.where(small, 1.0, shape)
    with np.errstate(divide="ignore"):
        curved = -np.log1p(np.maximum(safe * excess / scale, -1.0)) / safe
    result: Floats = np.where(small, -excess / scale, curved)
    return result


def excess_at(depth: Floats, shape: Floats | np.float64, scale: Floats | np.float64) -> Floats:
    """Returns the excess y with -log P(Y > y) = depth, of arrays that broadcast."""
    small = np.abs(shape) < NEARLY_ZERO
    safe = np.where(small, 1.0, shape)
    result: Floats = np.where(small, scale * depth, scale * np.expm1(safe * depth) / safe)
    return result


def log_likelihood(excesses: Floats, shape: Floats, scale: Floats) -> Floats:
    """Returns the log-likelihood of shapes (S) with scales (S C), as S C; minus infinity for an impossible excess."""
    result = np.empty(scale.shape)
    for row, (one, scales) in enumerate(zip(shape, scale, strict=True)):  # row by row: many excesses need much memory
        tail = log_survival(excesses, one, scales[:, None]).sum(1)
        result[row] = tail * (1 + one) - len(excesses) * np.log(scales)
    return result


# scipy.stats.fit and scipy.stats.goodness_of_fit find the same to four digits. They are not used: `calibrate` fits 600
# times (a bootstrap for every kind of score) and would take some 20 times as long, and its figures would be others.
def fit(excesses: Floats) -> Pareto:
    """Returns the most likely distribution whose shape is within SHAPES.

    With t = shape / scale the likelihood has one maximum in the shape for every t, so that only t is searched for
    (Grimshaw, 1993).

    Args:
        excesses: at least one, all above 0.
    """
    mean = float(excesses.mean())
    lowest = -mean / float(excesses.max())  # t times the mean, where the tail would end at the highest excess
    low, high = 0.999 * lowest, 30.0
    grid = np.concatenate([np.linspace(low, 0, STEPS), np.geomspace(1e-3, high, STEPS)])
    for _ in range(ROUNDS):
        best = int(np.argmax(_profile(excesses / mean, grid)[0]))
        bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        grid = np.unique(np.append(np.linspace(*bounds, STEPS), grid[best]))
    likelihood, shape, scale = _profile(excesses / mean, grid)
    best = int(np.argmax(likelihood))
    return Pareto(float(shape[best]), float(scale[best]) * mean)


def _profile(excesses: Floats, t: Floats) -> tuple[Floats, Floats, Floats]:
    """The highest mean log-likelihood per t, and the shape and scale it is at."""
    flat = np.abs(t) < NEARLY_ZERO
    safe = np.where(flat, 1.0, t)
    spread = np.log1p(safe[:, None] * excesses).mean(1)  # the likeliest shape
    shape = np.clip(spread, *SHAPES)
    scale = shape / safe
    curved = -np.log(scale) - (1 + 1 / shape) * spread
    mean = float(excesses.mean())
    return (
        np.where(flat, -math.log(mean) - 1, curved),
        np.where(flat, 0.0, shape),
        np.where(flat, mean, scale),
    )


def anderson_darling(excesses: Floats, pareto: Pareto) -> float:
    """Returns the distance of excesses from a distribution, its tail counted most: 0 is a perfect fit."""
    tail = pareto.log_survival(np.sort(excesses))
    below = np.log(np.maximum(-np.expm1(tail), SMALLEST_CHANCE))
    above = np.maximum(tail, math.log(SMALLEST_CHANCE))
    count = len(tail)
    odd = 2 * np.arange(count) + 1
    return -count - float((odd * (below + above[::-1])).sum()) / count


def fit_p_value(excesses: Floats, pareto: Pareto, random: np.random.Generator, draws: int) -> float:
    """Returns the share of the fitted distribution's samples as far from their own fit (parametric bootstrap)."""
    found = anderson_darling(excesses, pareto)
    further = 0
    for _ in range(draws):
        drawn = pareto.draw(len(excesses), random)
        further += anderson_darling(drawn, fit(drawn)) >= found
    return (further + 1) / (draws + 1)


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
        """Returns the posterior given at least one excess above 0."""
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
        """Returns P(Y > y) of an excess to come, per y (N)."""
        given = np.asarray(excess, np.float64)
        result: Floats = np.exp(log_survival(given[:, None], self.shape, self.scale)) @ self.weight
        return result

    def draw(self, count: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Draws shapes and scales, as often as they are likely."""
        chosen = random.choice(len(self.weight), count, p=self.weight)
        return self.shape[chosen], self.scale[chosen]
