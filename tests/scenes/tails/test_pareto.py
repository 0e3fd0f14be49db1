"""The generalised Pareto distribution against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import genpareto, goodness_of_fit

from msflow_stream.scenes.tails.pareto import (
    SHAPES,
    Pareto,
    anderson_darling,
    excess_at,
    fit,
    fit_p_value,
    log_likelihood,
)

SHAPE = st.floats(*SHAPES, allow_subnormal=False) | st.sampled_from([0.0, 1e-7, -1e-7])
SCALE = st.floats(1e-3, 1e3)


def drawn(shape: float, count: int, seed: int = 0, scale: float = 3.0) -> np.ndarray:
    return np.asarray(genpareto.rvs(shape, scale=scale, size=count, random_state=seed))


@given(SHAPE, SCALE, st.floats(0, 100))
def test_the_chance_of_an_excess_is_that_of_scipy(shape: float, scale: float, excess: float) -> None:
    ours = np.exp(Pareto(shape, scale).log_survival(excess * scale))
    assert ours == pytest.approx(genpareto.sf(excess * scale, shape, scale=scale), rel=1e-4, abs=1e-12)


@given(SHAPE, SCALE, st.floats(1e-3, 20))
def test_an_excess_has_the_chance_that_it_was_looked_up_for(shape: float, scale: float, depth: float) -> None:
    excess = excess_at(np.array(depth), np.float64(shape), np.float64(scale))
    assert -Pareto(shape, scale).log_survival(excess) == pytest.approx(depth, rel=1e-3)


@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.3])
def test_likelihoods_are_those_of_scipy(shape: float) -> None:
    excesses = drawn(0.1, 40)
    scales = np.array([[0.1, 2.0, 50.0]])
    expected = [genpareto.logpdf(excesses, shape, scale=scale).sum() for scale in scales[0]]
    assert log_likelihood(excesses, np.array([shape]), scales)[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [-0.3, -0.1, 0.0, 0.2, 0.4])
@pytest.mark.parametrize("count", [8, 50, 1000])
def test_no_distribution_within_the_bounds_is_likelier(shape: float, count: int) -> None:
    excesses = drawn(shape, count, seed=count)
    found = fit(excesses)
    assert SHAPES[0] <= found.shape <= SHAPES[1]
    best = genpareto.logpdf(excesses, found.shape, scale=found.scale).sum()
    for other in np.linspace(*SHAPES, 41):
        scales = found.scale * np.geomspace(0.2, 5, 100)
        others = genpareto.logpdf(excesses[:, None], other, scale=scales).sum(0)
        assert others.max() <= best + 1e-6
    theirs, _, _ = genpareto.fit(excesses, floc=0)
    if SHAPES[0] + 0.01 < theirs < SHAPES[1] - 0.01:
        assert found.shape == pytest.approx(theirs, abs=2e-3)


def test_a_tail_that_ends_abruptly_gets_the_shortest_tail_allowed() -> None:
    assert fit(np.random.default_rng(0).uniform(0, 1, 500)).shape == SHAPES[0]


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2])
def test_standard_errors_are_how_far_estimates_scatter(shape: float) -> None:
    fits = [fit(drawn(shape, 200, seed)) for seed in range(100)]
    errors = Pareto(shape, 3.0).errors(200)
    assert np.std([one.shape for one in fits]) == pytest.approx(errors[0], rel=0.25)
    assert np.std([one.scale for one in fits]) == pytest.approx(errors[1], rel=0.25)


def test_the_distance_of_excesses_from_a_distribution_is_that_of_scipy() -> None:
    excesses = drawn(0.2, 60)
    known = {"c": 0.1, "loc": 0.0, "scale": 2.5}
    theirs = goodness_of_fit(genpareto, excesses, known_params=known, statistic="ad", n_mc_samples=1, rng=0)
    assert anderson_darling(excesses, Pareto(0.1, 2.5)) == pytest.approx(theirs.statistic)


def test_p_values_are_even_where_the_distribution_is_right() -> None:
    random = np.random.default_rng(1)
    values = []
    for seed in range(40):
        excesses = drawn(0.1, 40, seed)
        values.append(fit_p_value(excesses, fit(excesses), random, 39))
    assert np.mean(values) == pytest.approx(0.5, abs=0.12)
    assert 0 <= np.mean(np.array(values) < 0.1) <= 0.22


def test_p_values_are_low_where_it_is_wrong() -> None:
    random = np.random.default_rng(1)
    two_heaps = np.concatenate([random.normal(1, 0.05, 40), random.normal(9, 0.05, 40)])
    assert fit_p_value(two_heaps, fit(two_heaps), random, 99) == pytest.approx(0.01)
