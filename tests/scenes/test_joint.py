"""The joint score: against scipy's logistic distribution and its way of Fisher's method."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from msflow_stream.scenes.joint import DRIFT, MEAN_RESERVE, TOP_RESERVE, Joint, Logistic
from msflow_stream.types import Scores, Why
from msflow_stream.video.motion import PLACES

PART = Logistic(median=2.0, scale=0.5)
JOINT = Joint(top=PART, mean=Logistic(median=1.0, scale=0.3), motion=Logistic(median=0.8, scale=0.2), heat=PART)
SURPRISALS = st.floats(0, 200)


def scores(surprise: float = 2.0, mean: float = 1.0, motion: float = math.nan) -> Scores:
    return Scores(0.5, surprise, mean, motion)


def combined(surprise: float = 2.0, mean: float = 1.0, motion: float = math.nan) -> float:
    return JOINT.combined(JOINT.why(scores(surprise, mean, motion)))


@given(st.floats(-50, 200), st.floats(0, 6))
def test_a_surprisal_is_that_of_a_logistic_distribution(score: float, reserve: float) -> None:
    expected = -stats.logistic.logsf(score, loc=PART.median + reserve * PART.scale, scale=PART.scale)
    assert PART.surprisal(score, reserve) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    given = np.array([score])
    assert PART.surprisals(given)[0] == pytest.approx(PART.surprisal(score), rel=1e-4, abs=1e-6)
    assert given[0] == score


def test_median_and_scale_are_found_again_in_what_is_drawn() -> None:
    drawn = stats.logistic.rvs(loc=3.0, scale=0.7, size=20_000, random_state=np.random.default_rng(0))
    found = Logistic.of([*drawn.tolist(), math.nan, math.inf])
    assert found is not None
    assert found.median == pytest.approx(3.0, abs=0.05)
    assert found.scale == pytest.approx(0.7, rel=0.03)
    assert Logistic.of([math.nan]) is None


def test_of_scores_that_are_all_alike_another_one_is_finite() -> None:
    alike = Logistic.of([1.5] * 40)
    assert alike is not None
    assert math.isfinite(alike.surprisal(30.0))


@given(SURPRISALS, SURPRISALS)
def test_two_parts_are_joined_by_fishers_method(appearance: float, motion: float) -> None:
    p = [10**-appearance, 10**-motion]
    found = JOINT.combined(Why(appearance, motion, 0.0))
    if min(p) > 1e-100:
        assert 10**-found == pytest.approx(stats.combine_pvalues(p, method="fisher").pvalue, rel=1e-6)
    assert found <= appearance + motion + 1e-9


@given(SURPRISALS)
def test_one_part_alone_is_its_own_answer(appearance: float) -> None:
    assert JOINT.combined(Why(appearance, None, 0.0)) == pytest.approx(appearance)


@given(st.floats(0, 50), st.floats(0, 20), st.floats(0, 50), st.floats(0.01, 5), st.integers(0, 2))
def test_more_of_any_part_is_no_less_improbable(
    surprise: float, mean: float, motion: float, more: float, part: int
) -> None:
    before = [surprise, mean, motion]
    after = [value + more * (number == part) for number, value in enumerate(before)]
    assert combined(*after) >= combined(*before) - 1e-12
    assert combined(surprise, mean, motion + 5) > combined(surprise, mean, motion)


def test_appearance_counts_from_its_reserve_on_by_its_top_or_its_mean() -> None:
    tops = [3.0, 6.0, 9.0]
    wide = stats.logistic(loc=PART.median + TOP_RESERVE * DRIFT * PART.scale, scale=DRIFT * PART.scale)
    assert [combined(one, -50.0) for one in tops] == pytest.approx((-wide.logsf(tops) / math.log(10)).tolist())
    own = JOINT.mean
    wide = stats.logistic(loc=own.median + MEAN_RESERVE * DRIFT * own.scale, scale=DRIFT * own.scale)
    assert [combined(-50.0, one) for one in tops] == pytest.approx((-wide.logsf(tops) / math.log(10)).tolist())


def test_scores_that_are_infinite_or_no_numbers_break_nothing() -> None:
    assert combined(math.inf, 1.0, 0.5) == math.inf
    assert combined(2.0, 1.0, math.inf) == math.inf
    assert math.isfinite(combined(2.0, 1.0, math.nan))
    assert 0 <= JOINT.why(scores(math.inf, 1.0)).view <= 1
    kept = Joint.of(
        [scores(s, s / 2, m) for s, m in ((1, 1), (2, math.nan), (3, 2), (math.inf, 3))], [1.0, 2.0, math.inf]
    )
    assert kept is not None
    assert np.isfinite([kept.top.median, kept.top.scale, kept.heat.scale]).all()


def test_without_motion_in_any_frame_there_is_no_part_for_it() -> None:
    still = Joint.of([scores(1.0 + i / 10, 0.5 + i / 20) for i in range(10)], [1.0, 1.1, 1.3])
    assert still is not None
    assert still.motion is None
    assert still.why(scores(motion=3.0)).motion is None
    assert Joint.of([scores(math.nan)], [1.0]) is None


def test_the_map_grows_with_both_parts_and_is_that_of_the_appearance_without_motion() -> None:
    heat = np.linspace(0, 6, 64 * 96, dtype=np.float32).reshape(64, 96)
    motion = np.full(PLACES, 1.0, np.float32)
    alone, both, faster = JOINT.map(heat, None), JOINT.map(heat, motion), JOINT.map(heat, 2 * motion)
    assert alone == pytest.approx(-stats.logistic.logsf(heat, PART.median, DRIFT * PART.scale) / math.log(10), rel=1e-4)
    assert (np.diff(both.ravel()) > 0).all()
    assert (both > alone).all()
    assert (faster > both).all()
    assert JOINT.model_copy(update={"motion": None}).map(heat, motion) == pytest.approx(alone)
    assert np.isfinite(JOINT.map(heat, np.full(PLACES, 1e9, np.float32)).astype(np.float16)).all()


@given(st.floats(0, 10), st.floats(0, 10))
def test_the_trigger_is_the_part_that_says_most(appearance: float, motion: float) -> None:
    assert (Why(appearance, motion, 0.2).trigger == "motion") == (motion > appearance)
    assert Why(appearance, None, 0.9).trigger == "view"
    assert Why(appearance, None, 0.1).trigger == "appearance"
