from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.series import ScoreSmoother, Smoother, batched, labelled_spans, smooth
from msflow_stream.types import FrameScore, Scores

RATES = st.sampled_from([1.0, 25.0, 30000 / 1001, 59.94])
SECONDS = st.sampled_from([0.1, 0.5, 2.0, 60.0])
GAPS = st.floats(0, 5)
SERIES = st.lists(st.tuples(GAPS, st.floats(-100, 100)), min_size=1, max_size=20)


@given(st.lists(st.integers(), max_size=30), st.integers(1, 12))
def test_batches_are_the_slices_of_the_items(items: list[int], size: int) -> None:
    assert list(batched(items, size)) == [items[i : i + size] for i in range(0, len(items), size)]


def test_no_item_is_taken_before_its_batch_is_wanted() -> None:
    taken = []
    batches = batched((taken.append(i) or i for i in range(100)), 3)  # type: ignore[func-returns-value]
    assert taken == []
    assert next(batches) == [0, 1, 2]
    assert taken == [0, 1, 2]


def test_a_source_that_nobody_else_holds_is_closed_with_the_batches() -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append(True)

    batches = batched(source(), 2)
    next(batches)
    assert not closed
    del batches
    assert closed


def test_an_error_of_the_source_comes_through() -> None:
    batches = batched((1 // (2 - i) for i in range(5)), 2)
    assert next(batches) == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(batches)


@given(st.lists(st.booleans(), max_size=60), RATES)
def test_labelled_spans_are_the_inverse_of_labels(labels: list[bool], rate: float) -> None:
    back = [False] * len(labels)
    for start, end in labelled_spans(labels, rate):
        first, last = round(start * rate), round(end * rate)
        back[first:last] = [True] * (last - first)
    assert back == labels


@given(st.lists(st.integers(0, 255), max_size=60), RATES)
def test_labelled_spans_are_in_order_and_apart(labels: list[int], rate: float) -> None:
    edges = [edge for span in labelled_spans(labels, rate) for edge in span]
    assert edges == sorted(set(edges))
    assert all(0 <= edge <= len(labels) / rate for edge in edges)


def test_spans_are_in_seconds() -> None:
    assert labelled_spans(np.array([0, 1, 1, 0, 0, 255], np.uint8), 2.0) == [(0.5, 1.5), (2.5, 3.0)]


def timed(series: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    times, time = [], 0.0
    for gap, _ in series:
        time += gap
        times.append(time)
    return times, [value for _, value in series]


@given(SERIES, SECONDS)
def test_a_smoothed_value_is_the_mean_with_weights_that_fall_exponentially_with_age(
    series: list[tuple[float, float]], seconds: float
) -> None:
    times, values = timed(series)
    for number, found in enumerate(smooth(times, values, seconds)):
        weights = [math.exp((times[i] - times[number]) / seconds) for i in range(number + 1)]
        expected = sum(weight * value for weight, value in zip(weights, values, strict=False)) / sum(weights)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(SERIES, SECONDS, st.integers(0, 20))
def test_smoothing_is_causal(series: list[tuple[float, float]], seconds: float, length: int) -> None:
    times, values = timed(series)
    assert smooth(times[:length], values[:length], seconds) == smooth(times, values, seconds)[:length]


@given(st.lists(GAPS, min_size=1, max_size=50), st.floats(-100, 100), SECONDS)
def test_a_constant_stays_constant_from_the_first_value_on(gaps: list[float], value: float, seconds: float) -> None:
    times, values = timed([(gap, value) for gap in gaps])
    assert smooth(times, values, seconds) == pytest.approx(values, rel=1e-12)


@given(SERIES, SECONDS, st.floats(-1e6, 1e6))
def test_only_the_time_between_values_matters(series: list[tuple[float, float]], seconds: float, start: float) -> None:
    times, values = timed(series)
    later = [start + time for time in times]
    assert smooth(later, values, seconds) == pytest.approx(smooth(times, values, seconds), rel=1e-6, abs=1e-6)


@given(SERIES)
def test_no_time_constant_leaves_scores_as_they_are(series: list[tuple[float, float]]) -> None:
    times, values = timed(series)
    assert smooth(times, values, 0) == values


def test_after_one_time_constant_a_step_is_up_to_one_minus_1_over_e() -> None:
    rate, seconds, settled = 100, 2.0, 60
    times = [i / rate for i in range(settled * rate + int(seconds * rate))]
    values = [0.0 if time < settled else 1.0 for time in times]
    assert smooth(times, values, seconds)[-1] == pytest.approx(1 - 1 / math.e, abs=1e-3)


def test_a_long_pause_forgets_what_was_before_it() -> None:
    assert smooth([0.0, 1e9], [100.0, 1.0], 0.5) == [100.0, 1.0]


def test_a_month_of_values_neither_overflows_nor_drifts() -> None:
    smoother = Smoother(3600.0)
    start = 30 * 24 * 3600.0
    smoother(0.0, 5.0)
    assert [smoother(start + i / 25, 2.0) for i in range(1000)] == pytest.approx([2.0] * 1000)


def test_one_smoother_does_not_know_of_another() -> None:
    first, second = Smoother(1.0), Smoother(1.0)
    first(0.0, 100.0)
    assert second(0.1, 1.0) == 1.0


def test_times_and_values_of_different_length_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        smooth([0.0, 1.0], [1.0], 1.0)


def test_each_kind_of_score_is_smoothed_by_itself_in_one_step() -> None:
    smoother, times = ScoreSmoother(0.5), [0.0, 0.2, 0.9]
    values = {"paper": [1.0, 5.0, 2.0], "surprise": [30.0, 10.0, math.inf], "surprise_mean": [0.0, -1.0, 4.0]}
    series = list(zip(*values.values(), strict=True))
    scores = [
        FrameScore("a", "b", i, time, None, Scores(*series[i]), np.zeros((1, 1), np.float16))
        for i, time in enumerate(times)
    ]
    found = [smoother(score) for score in scores]
    assert [one.score for one in found] == scores
    for kind, raw in values.items():
        assert [one.smoothed[kind] for one in found] == smooth(times, raw, 0.5)
