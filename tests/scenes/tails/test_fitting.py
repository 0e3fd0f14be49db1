"""Tails of simulated footage whose truth is known: what is asked for is what comes, and intervals hold it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import expon, genpareto, uniform

from msflow_stream.scenes.tails.excursions import NormalRecord, Series
from msflow_stream.scenes.tails.fitting import (
    BEYOND,
    CONFIDENCE,
    FEWEST,
    LEAST,
    Tail,
    TailFit,
    ThresholdEstimate,
    estimate_without_tail,
    fit_tail,
    supported_rate,
)
from msflow_stream.scenes.tails.pareto import Posterior

GAP, STEP = 5.0, 10.0
PER_HOUR = 3600 / (2 * STEP)  # peaks
Draw = Callable[[int, np.random.Generator], npt.NDArray[np.float64]]


def peaky(peaks: Sequence[float] | npt.NDArray[np.float64]) -> NormalRecord:
    """A record in which every second frame is a peak, far from the others, and 0 between them."""
    values = np.zeros(2 * len(peaks))
    values[1::2] = peaks
    return NormalRecord([Series(np.arange(len(values)) * STEP, values)], GAP)


def wandering(count: int, random: np.random.Generator, rate: float = 5.0, memory: float = 1.0) -> Series:
    """Scores that remember themselves for so many seconds, as smoothed scores do."""
    decay = math.exp(-1 / (rate * memory))
    noise = random.normal(size=count + 500)
    values = lfilter([math.sqrt(1 - decay**2)], [1, -decay], noise)[500:]
    return Series(np.arange(count) / rate, np.sinh(values))


def fitted(record: NormalRecord, rate: float = 1.0, seed: int = 0) -> TailFit:
    found = fit_tail(record, rate, np.random.default_rng(seed), draws=5)
    assert found is not None
    return found


TRUTHS = {"exponential": expon(), "Pareto": genpareto(0.2), "uniform": uniform()}


def simulated(name: str, hours: float, rate: float, runs: int) -> list[tuple[ThresholdEstimate, float, float]]:
    """Limits found on so much footage, the rate each really has, and the score that really has the rate."""
    truth, random = TRUTHS[name], np.random.default_rng(3)
    results = []
    for _ in range(runs):
        record = peaky(truth.rvs(size=random.poisson(hours * PER_HOUR), random_state=random))
        found = fit_tail(record, rate, random, draws=2)
        assert found is not None
        limit = found.estimate_threshold(rate, record, random)
        results.append((limit, PER_HOUR * float(truth.sf(limit.threshold)), float(truth.isf(rate / PER_HOUR))))
    return results


@pytest.mark.parametrize("name", ["exponential", "Pareto"])
@pytest.mark.parametrize("beyond", [1, 5])
def test_intervals_hold_the_truth_as_often_as_they_say_and_rates_are_kept_on_average(name: str, beyond: int) -> None:
    hours = 2.0
    rate = 1 / (beyond * hours)
    results = simulated(name, hours, rate, runs=100)
    inside = [low <= true <= high for limit, true, _ in results for low, high in [limit.rate_interval or (9, 0)]]
    assert np.mean(inside) >= CONFIDENCE - 0.06
    inside = [low <= true <= high for limit, _, true in results for low, high in [limit.threshold_interval or (9, 0)]]
    assert np.mean(inside) >= CONFIDENCE - 0.06
    assert np.mean([true for _, true, _ in results]) / rate == pytest.approx(1.0, abs=0.5)


def test_of_a_tail_that_ends_no_more_alarms_come_than_were_asked_for() -> None:
    results = simulated("uniform", 2.0, 0.25, runs=100)
    assert np.mean([true for _, true, _ in results]) <= 0.25
    most = [limit.rate_interval[1] for limit, _, _ in results if limit.rate_interval]
    assert np.mean([true <= bound for (_, true, _), bound in zip(results, most, strict=True)]) >= CONFIDENCE - 0.06


def test_fresh_footage_has_the_rate_that_was_asked_for() -> None:
    random = np.random.default_rng(5)
    fresh = NormalRecord([wandering(18_000 * 100, random)], GAP)
    rates = []
    for _ in range(12):
        record = NormalRecord([wandering(18_000, random)], GAP)
        found = fit_tail(record, 2.0, random, draws=2)
        assert found is not None
        limit = found.estimate_threshold(2.0, record, random)
        rates.append(len(fresh.peaks(limit.threshold)) / fresh.hours)
        assert limit.rate_interval is not None
        assert limit.rate_interval[0] * 0.8 <= rates[-1] <= limit.rate_interval[1] * 1.2
    assert np.mean(rates) == pytest.approx(2.0, rel=0.35)


def test_fresh_frames_are_as_improbable_as_the_tail_says() -> None:
    random = np.random.default_rng(6)
    tail = fitted(NormalRecord([wandering(18_000 * 2, random)], GAP)).tail
    fresh = wandering(18_000 * 100, random).values
    for probability in (0.5, 0.1, 0.01, 1e-3, 1e-4):
        score = float(np.quantile(fresh, 1 - probability))
        assert math.log10(tail.probability(score)) == pytest.approx(math.log10(probability), abs=0.35)


def test_the_most_likely_tail_is_that_of_the_peaks() -> None:
    random = np.random.default_rng(7)
    peaks = genpareto.rvs(0.2, scale=2.0, size=4000, random_state=random)
    found = fitted(peaky(peaks), rate=400.0)
    assert found.tail.excursions >= 1000
    assert abs(found.tail.shape - 0.2) <= 3 * found.diagnostics.shape_error
    scale = 2.0 + 0.2 * found.tail.level  # of the excesses over a level
    assert abs(found.tail.scale - scale) <= 3 * found.diagnostics.scale_error


def test_diagnostics_count_frames_and_excursions() -> None:
    values = np.tile([0.0, 0.0, 0.0, 3.0, 4.0, 0.0], 30) + np.random.default_rng(0).uniform(0, 0.1, 180)
    record = NormalRecord([Series(np.arange(180) * STEP, values)], GAP)
    found = fitted(record)
    assert found.diagnostics.frames_above == int((values > found.tail.level).sum())
    assert found.tail.excursions == len(found.peaks) == len(record.peaks(found.tail.level))
    assert found.diagnostics.extremal_index == found.tail.excursions / found.diagnostics.frames_above
    assert 0 < found.diagnostics.p_value <= 1


def test_the_footage_is_counted_at_the_threshold() -> None:
    record = peaky(np.random.default_rng(0).exponential(size=600))
    limit = fitted(record, rate=6.0).estimate_threshold(6.0, record, np.random.default_rng(0))
    assert limit.counted == len(record.peaks(limit.threshold))
    assert limit.counted == pytest.approx(6.0 * record.hours, rel=0.5)


def test_more_alarms_than_there_are_get_the_lowest_threshold_and_the_rate_it_has() -> None:
    record = peaky(np.random.default_rng(0).exponential(size=100))
    found = fitted(record, rate=1e4)
    limit = found.estimate_threshold(1e4, record, np.random.default_rng(0))
    assert limit.threshold == found.tail.level
    assert limit.rate == pytest.approx(found.tail.excursions / record.hours)


@pytest.mark.parametrize(
    "record",
    [
        NormalRecord([Series(np.arange(100.0), np.ones(100))], GAP),
        NormalRecord([Series(np.arange(1.0), np.ones(1))], GAP),
        NormalRecord([Series(np.zeros(1), np.array([float(i)])) for i in range(40)], GAP),
        peaky([1.0, 2.0, 3.0, 4.0]),
    ],
    ids=["constant", "one frame", "single frames", "four rises"],
)
def test_without_a_tail_the_threshold_is_the_highest_score(record: NormalRecord) -> None:
    assert fit_tail(record, 1.0, np.random.default_rng(0)) is None
    limit = estimate_without_tail(record)
    assert limit.threshold == record.highest
    assert (limit.rate, limit.threshold_interval, limit.counted) == (None, None, 0)
    if record.hours:
        assert limit.rate_interval == (0, pytest.approx(3 / record.hours, rel=0.01))  # the rule of three
    else:
        assert limit.rate_interval is None


def test_peaks_that_are_all_alike_have_a_tail_too() -> None:
    found = fitted(peaky([1.0] * 20 + [2.0] * (2 * FEWEST)))
    limit = found.estimate_threshold(0.1, peaky([1.0]), np.random.default_rng(0))
    assert math.isfinite(limit.threshold)


def test_footage_supports_one_alarm_in_ten_times_its_length() -> None:
    assert supported_rate(2.0) == pytest.approx(1 / (BEYOND * 2.0))
    assert supported_rate(0.0) == math.inf


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 400), st.floats(-50, 50), st.floats(-50, 50))
def test_probabilities_fall_without_a_jump(seed: int, peaks: int, one: float, other: float) -> None:
    tail = fitted(peaky(np.random.default_rng(seed).exponential(size=peaks))).tail
    low, high = sorted((tail.probability(one), tail.probability(other)))
    assert (tail.probability(max(one, other)), tail.probability(min(one, other))) == (low, high)
    assert low * (1 + 1e-9) >= LEAST
    assert high <= 1
    assert (np.diff(tail.scores) > 0).all()
    for score in (*tail.scores, one):
        near = 1e-9 * max(1.0, abs(score))
        assert tail.probability(score - near) == pytest.approx(tail.probability(score + near), rel=1e-3)
    assert tail.probability(tail.level) == pytest.approx(tail.share)


def test_below_the_tail_probabilities_are_counted() -> None:
    record = NormalRecord([wandering(5000, np.random.default_rng(0))], GAP)
    tail = fitted(record).tail
    for score in np.quantile(record.values, [0.05, 0.5, 0.8]):
        assert tail.probability(score) == pytest.approx((record.values >= score).mean(), rel=0.05)
    assert tail.probability(float(record.values.min())) == 1


def test_probabilities_of_what_is_no_number() -> None:
    tail = fitted(peaky(np.random.default_rng(0).exponential(size=100))).tail
    assert math.isnan(tail.probability(math.nan))
    assert tail.probability(math.inf) == pytest.approx(LEAST)
    assert tail.probability(-math.inf) == 1


def test_cameras_whose_scores_have_other_units_give_the_same_probabilities() -> None:
    values = wandering(3000, np.random.default_rng(0))
    gate, yard = (
        fitted(NormalRecord([Series(values.times, factor * values.values + shift)], GAP)).tail
        for factor, shift in ((1.0, 0.0), (250.0, -40.0))
    )
    for score in np.linspace(-3, 30, 40):
        assert yard.probability(250 * score - 40) == pytest.approx(gate.probability(score), rel=1e-6)
    assert yard.threshold(1.0) == pytest.approx(250 * gate.threshold(1.0) - 40, rel=1e-6)


def test_the_threshold_of_a_rate_has_that_rate() -> None:
    tail = fitted(peaky(np.random.default_rng(0).exponential(size=400))).tail
    assert isinstance(tail, Tail)
    for rate in (5.0, 1.0, 0.1, 0.01):
        assert tail.rate(tail.threshold(rate)) == pytest.approx(rate, rel=1e-6)
    assert tail.rate(tail.level) == pytest.approx(tail.excursions / tail.hours)


def test_the_same_scores_give_the_same_figures() -> None:
    record = peaky(np.random.default_rng(0).exponential(size=100))
    first, second = (fitted(record).estimate_threshold(1.0, record, np.random.default_rng(4)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("shape", [-0.2, 0.2])
def test_many_excesses_leave_little_open(shape: float) -> None:
    excesses = genpareto.rvs(shape, scale=2.0, size=5000, random_state=0)
    posterior = Posterior.of(excesses)
    assert posterior.weight.sum() == pytest.approx(1)
    y = np.array([0.0, 0.5, 2.0, 5.0])
    assert posterior.survival(y).tolist() == pytest.approx(genpareto.sf(y, shape, scale=2.0).tolist(), rel=0.06)
