"""How high the smoothed scores of normal frames rise: chances and alarms per hour of any score, also of unseen ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST = 1e-12  # the lowest probability that is told apart from 0


@dataclass(frozen=True, slots=True)
class Tail:
    """A table from score to probability: what was counted up to `level`, a generalised Pareto tail above it.

    Attributes:
        level: where the tail begins.
        share: of the normal frames above it.
        excursions: above it, in `hours` of footage.
        shape, scale: of the most likely tail.
        scores: ascending.
        log_probabilities: log10 of the probability that a normal frame has at least such a smoothed score.
    """

    level: float
    share: float
    excursions: int
    hours: float
    shape: float
    scale: float
    scores: tuple[float, ...]
    log_probabilities: tuple[float, ...]

    def probability(self, score: float) -> float:
        """Of at least such a smoothed score in a normal frame; LEAST or more, NaN for NaN."""
        return float(10 ** np.interp(score, self.scores, self.log_probabilities))

    def rate(self, score: float) -> float:
        """Alarms per hour to expect of normal footage with this threshold, which is `level` or higher."""
        return self.probability(score) / self.share * self.excursions / self.hours

    def threshold(self, rate: float) -> float:
        """The score with so many alarms per hour; `level` where there are never so many."""
        log_probability = np.log10(rate * self.hours / self.excursions * self.share)
        descending = self.scores[::-1], self.log_probabilities[::-1]
        return max(self.level, float(np.interp(log_probability, descending[1], descending[0])))
