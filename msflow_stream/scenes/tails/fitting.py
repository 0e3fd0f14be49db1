"""The tail of normal scores, the threshold for a wanted rate of alarms, and how sure both are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from msflow_stream.scenes.tails import pareto
from msflow_stream.scenes.tails.excursions import NormalRecord
from msflow_stream.scenes.tails.pareto import Floats, Pareto, Posterior

LEAST = 1e-12  # the lowest probability that is told apart from 0
FEWEST = 5  # excursions that a tail can be fitted on
BEYOND = 10  # times the footage: the longest mean time between alarms that it supports
CONFIDENCE = 0.95
BOUNDS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
DRAWS = 4000  # for the intervals
POINTS = 80  # of each half of a tail's table
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Tail:
    """A table from score to probability: counted up to `level`, a generalised Pareto tail above it.

    Attributes:
        level: score at which the tail begins.
        share: part of the normal frames above it.
        excursions: number of those above it, in `hours` of footage.
        shape, scale: parameters of the most likely tail.
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
        """Returns the probability of at least such a smoothed score in a normal frame: LEAST or more, NaN for NaN."""
        return float(10 ** np.interp(score, self.scores, self.log_probabilities))

    def rate(self, score: float) -> float:
        """Returns the alarms per hour to expect of normal footage with this threshold, which is `level` or higher."""
        return self.probability(score) / self.share * self.excursions / self.hours

    def threshold(self, rate: float) -> float:
        """Returns the score with so many alarms per hour; `level` where there are never so many."""
        log_probability = np.log10(rate * self.hours / self.excursions * self.share)
        descending = self.scores[::-1], self.log_probabilities[::-1]
        return max(self.level, float(np.interp(log_probability, descending[1], descending[0])))


@dataclass(frozen=True, slots=True)
class ThresholdEstimate:
    """A threshold, and what is to be expected of it.

    Attributes:
        rate: alarms per hour of normal footage, on average over what the footage leaves open; None: unknown.
        threshold_interval: interval of the threshold with exactly that rate, with CONFIDENCE; None without a tail.
        rate_interval: interval of the rate that this threshold really has; None where the length is unknown.
        counted: alarms that the footage itself has above it.
    """

    threshold: float
    rate: float | None
    threshold_interval: Interval | None
    rate_interval: Interval | None
    counted: int


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Figures that say how well a tail fits.

    Attributes:
        frames_above: smoothed scores above its level.
        extremal_index: excursions per frame above the level (runs estimator): 1 where frames are independent.
        shape_error, scale_error: standard errors.
        anderson_darling: distance of the excesses from the fitted distribution.
        p_value: how often excesses of that distribution are as far from it, by parametric bootstrap.
    """

    frames_above: int
    extremal_index: float
    shape_error: float
    scale_error: float
    anderson_darling: float
    p_value: float


@dataclass(frozen=True, slots=True)
class TailFit:
    """A tail with all that intervals and figures need.

    Attributes:
        peaks: highest score of every excursion above the tail's level.
    """

    tail: Tail
    diagnostics: Diagnostics
    peaks: Floats
    posterior: Posterior

    def estimate_threshold(self, rate: float, record: NormalRecord, random: np.random.Generator) -> ThresholdEstimate:
        """Returns the threshold for so many alarms per hour, a rate that `supported_rate` allows."""
        threshold = self.tail.threshold(rate)
        rate = min(rate, self.tail.excursions / self.tail.hours)  # there may never be so many
        low, high = self.interval(np.array([rate]), random)
        often, shape, scale = self._draw(random)
        rates = often * np.exp(pareto.log_survival(np.array(threshold - self.tail.level), shape, scale))
        least, most = np.quantile(rates, BOUNDS).tolist()
        counted = len(record.peaks(threshold))
        return ThresholdEstimate(threshold, rate, (float(low[0]), float(high[0])), (least, most), counted)

    def interval(self, rates: Floats, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Returns the lowest and highest threshold that may have each of these rates, with CONFIDENCE."""
        often, shape, scale = self._draw(random)
        excesses = pareto.excess_at(np.log(often / rates[:, None]), shape, scale)
        low, high = self.tail.level + np.quantile(excesses, BOUNDS, axis=1)
        return low, high

    def _draw(self, random: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        """Excursions per hour, shapes and scales that are as likely as the footage makes them."""
        often = random.gamma(self.tail.excursions, 1 / self.tail.hours, DRAWS)
        return often, *self.posterior.draw(DRAWS, random)


def supported_rate(hours: float) -> float:
    """Returns the lowest number of alarms per hour that so much footage supports: one in BEYOND times its length."""
    return 1 / (BEYOND * hours) if hours else math.inf


def fit_tail(record: NormalRecord, rate: float, random: np.random.Generator, draws: int = 200) -> TailFit | None:
    """Fits the tail of a record; None where there is too little to fit one on.

    Args:
        record: scores, of which one at least is finite.
        rate: alarms per hour that will be asked for: the tail begins low enough for it, where it can.
        random: generator of the bootstrap.
        draws: number of samples of the bootstrap.
    """
    level = record.level(rate)
    peaks = record.peaks(level)
    if len(peaks) < FEWEST or not record.hours:
        return None
    excesses = peaks - level
    likeliest = pareto.fit(excesses)
    posterior = Posterior.of(excesses)
    tail = _tail(record, level, len(peaks), likeliest, posterior)
    above = round(tail.share * len(record.values))
    diagnostics = Diagnostics(
        above,
        len(peaks) / above,
        *likeliest.errors(len(peaks)),
        pareto.anderson_darling(excesses, likeliest),
        pareto.fit_p_value(excesses, likeliest, random, draws),
    )
    return TailFit(tail, diagnostics, peaks, posterior)


def estimate_without_tail(record: NormalRecord) -> ThresholdEstimate:
    """Returns the highest score as threshold: no normal frame of the footage is above it.

    Raises:
        ValueError: no finite score.
    """
    most = -math.log(1 - CONFIDENCE) / record.hours if record.hours else None  # of which none in so long is likely
    interval = None if most is None else (0.0, most)
    return ThresholdEstimate(record.highest, None, None, interval, 0)


def _tail(record: NormalRecord, level: float, excursions: int, likeliest: Pareto, posterior: Posterior) -> Tail:
    ascending = np.sort(record.values)
    count = len(ascending)
    share = float((ascending > level).mean())
    ranks = np.unique(np.round(np.geomspace(share * count, count, POINTS)).astype(int))  # of the frames from the top
    scores = np.unique(ascending[count - ranks])
    scores = scores[scores < level]
    reached = 1 - np.searchsorted(ascending, scores) / count  # share of the frames with at least this score
    above, survival = _upper_half(posterior, LEAST / share)
    return Tail(
        level,
        share,
        excursions,
        record.hours,
        likeliest.shape,
        likeliest.scale,
        (*scores.tolist(), level, *(level + above).tolist()),
        (*np.log10(reached).tolist(), *np.log10(np.append(1.0, survival) * share).tolist()),
    )


def _upper_half(posterior: Posterior, least: float) -> tuple[Floats, Floats]:
    """Excesses above 0, and the chances to exceed them, down to the least."""
    scale = float(posterior.scale @ posterior.weight)
    highest = scale
    while posterior.survival([highest])[0] > least:
        highest *= 2
    excesses = np.geomspace(1e-2 * scale, highest, POINTS)
    survival = np.maximum(posterior.survival(excesses), least)
    kept = np.append(True, survival[:-1] > least)  # one point at the least, none beyond
    return excesses[kept], survival[kept]
