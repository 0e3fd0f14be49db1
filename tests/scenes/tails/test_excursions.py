"""Excursions above a level, against a loop that counts them as they are defined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.scenes.tails.excursions import ENOUGH, HIGHEST_SHARE, NormalRecord, Series

Frames = list[tuple[float, float]]  # step since the frame before, score

FRAMES = st.lists(
    st.tuples(st.floats(0.1, 9), st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0, math.nan, math.inf]) | st.floats(-5, 5)),
    max_size=30,
)


def series(frames: Frames) -> Series:
    return Series(np.cumsum([step for step, _ in frames]), np.array([value for _, value in frames]))


def even(values: np.ndarray, step: float = 1.0) -> Series:
    return Series(np.arange(len(values)) * step, np.asarray(values, float))


def by_definition(sources: list[Frames], gap: float, level: float) -> list[float]:
    """Frame by frame: an excursion goes on with the very next frame, or with one that is near enough."""
    peaks = []
    for frames in sources:
        time, last, below = 0.0, -math.inf, True
        for step, value in frames:
            time += step
            if not math.isfinite(value):
                continue
            if value <= level:
                below = True
                continue
            if below and not time - last <= gap:
                peaks.append(value)
            peaks[-1] = max(peaks[-1], value)
            last, below = time, False
    return peaks


@given(st.lists(FRAMES, max_size=4), st.floats(0, 20), st.sampled_from([-1.0, 0.0, 1.0, 2.5]))
def test_excursions_are_those_that_a_loop_finds(sources: list[Frames], gap: float, level: float) -> None:
    record = NormalRecord([series(frames) for frames in sources], gap)
    assert record.peaks(level).tolist() == by_definition(sources, gap, level)
    assert record.broken == sum(not math.isfinite(value) for frames in sources for _, value in frames)


def test_what_lies_within_the_gap_is_one_alarm_with_the_highest_score() -> None:
    record = NormalRecord([even(np.array([0, 3, 0, 4, 0, 0, 0, 0, 0, 0, 5, 0]), step=1.0)], gap=5.0)
    assert record.peaks(2.0).tolist() == [4, 5]


def test_frames_further_apart_than_the_gap_are_one_alarm_while_none_is_below() -> None:
    assert NormalRecord([even(np.array([0, 3, 4, 3, 0]), step=60.0)], gap=5.0).peaks(2.0).tolist() == [4]


def test_an_alarm_ends_with_its_source() -> None:
    assert NormalRecord([even(np.array([0, 3])), even(np.array([4, 0]))], gap=5.0).peaks(2.0).tolist() == [3, 4]


def test_a_frame_lasts_as_long_as_the_usual_step_to_the_next() -> None:
    assert NormalRecord([even(np.zeros(18000), step=0.2)], 5.0).hours == pytest.approx(1.0)
    assert NormalRecord([even(np.zeros(900), 2.0), even(np.zeros(900), 2.0)], 5.0).hours == pytest.approx(1.0)
    assert NormalRecord([even(np.zeros(9), 2.0), even(np.zeros(1))], 5.0).hours == pytest.approx(20 / 3600)


@pytest.mark.parametrize("frames", [0, 1])
def test_footage_of_single_frames_has_no_length(frames: int) -> None:
    assert NormalRecord([even(np.zeros(frames))] * 3, 5.0).hours == 0


def test_scores_that_are_not_finite_leave_the_length_of_the_footage_as_it_is() -> None:
    broken = np.array([math.nan, *np.zeros(3598), math.inf])
    record = NormalRecord([even(broken)], 5.0)
    assert record.hours == pytest.approx(1.0)
    assert (len(record.values), record.broken) == (3598, 2)


def test_a_tail_begins_where_there_are_enough_excursions_and_no_lower() -> None:
    record = NormalRecord([even(np.random.default_rng(0).normal(size=20_000), step=10.0)], 5.0)
    level = record.level()
    assert ENOUGH <= len(record.peaks(level)) <= 1.3 * ENOUGH
    higher = np.sort(record.values[record.values > level])
    assert len(record.peaks(float(higher[len(higher) // 5]))) < ENOUGH


def test_a_tail_begins_lower_where_a_higher_rate_is_asked_for() -> None:
    record = NormalRecord([even(np.random.default_rng(0).normal(size=20_000), step=10.0)], 5.0)
    assert len(record.peaks(record.level(rate=4.0))) >= 4.0 * record.hours > ENOUGH
    assert record.level(rate=4.0) < record.level(rate=0.1)


def test_where_no_level_has_enough_excursions_it_is_the_one_with_the_most() -> None:
    values = np.random.default_rng(0).normal(size=60)
    record = NormalRecord([even(values, step=1.0)], 5.0)
    level = record.level()
    assert (values > level).mean() <= HIGHEST_SHARE
    candidates = np.sort(values)[-int(HIGHEST_SHARE * 60) :]
    assert len(record.peaks(level)) == max(len(record.peaks(float(one))) for one in candidates) < ENOUGH


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0, 1.0], [2.0, 1.0], [1.0, 2.0, 2.0]])
def test_a_few_scores_have_a_level_too(values: list[float]) -> None:
    record = NormalRecord([even(np.array(values))], 5.0)
    assert min(values) <= record.level() <= max(values) == record.highest
