from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.evaluation.metrics import streaming as histogram
from msflow_stream.evaluation.metrics.streaming import ValueCounts, ascending_values, halves

VALUES = st.lists(st.floats(width=16, allow_nan=False) | st.sampled_from([-0.0, 0.0, 1.0, -1.0]), max_size=60)
WEIGHTED = st.lists(st.tuples(st.sampled_from([-2.0, -0.0, 0.0, 0.5, 3.0]), st.integers(1, 9)), max_size=30)


def counted(values: npt.ArrayLike) -> ValueCounts:
    counts = ValueCounts()
    counts.add(halves(values))
    return counts


@given(VALUES)
def test_counts_are_those_of_the_sorted_distinct_values(values: list[float]) -> None:
    counts = counted(values).ascending()
    distinct, expected = np.unique(np.array(values, np.float16) + np.float16(0), return_counts=True)
    assert ascending_values()[counts > 0].tolist() == distinct.tolist()
    assert counts[counts > 0].tolist() == expected.tolist()


@given(WEIGHTED)
def test_weights_add_up_value_by_value(weighted: list[tuple[float, int]]) -> None:
    counts = ValueCounts()
    counts.add(halves([value for value, _ in weighted]), np.array([weight / 4 for _, weight in weighted]))
    expected = {value: sum(w / 4 for v, w in weighted if v == value) for value, _ in weighted}
    result = counts.ascending()
    assert dict(zip(ascending_values()[result > 0].tolist(), result[result > 0], strict=True)) == expected


def test_all_float16_are_in_ascending_order_between_the_nans() -> None:
    values = ascending_values()
    assert len(set(values.view(np.uint16).tolist())) == 2**16
    numbers = values[~np.isnan(values)].astype(np.float64)
    assert numbers[0] == -np.inf
    assert numbers[-1] == np.inf
    assert (np.diff(numbers[1:-1]) >= 0).all()


def test_values_beyond_the_range_of_float16_are_counted_at_infinity() -> None:
    counts = counted([1e6, -1e6, 1e6])
    result = counts.ascending()
    assert ascending_values()[result > 0].tolist() == [-np.inf, np.inf]
    assert result[result > 0].tolist() == [1, 2]


def test_counting_in_chunks_equals_counting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(9, 11)).astype(np.float16)
    at_once = counted(values).ascending()
    monkeypatch.setattr(histogram, "CHUNK", 7)
    np.testing.assert_array_equal(counted(values).ascending(), at_once)


@given(VALUES, st.integers(2, 20), st.sampled_from([0.01, 0.5, 1.0]))
def test_thresholds_leave_shares_from_one_value_up_evenly_spaced_in_their_logarithm(
    values: list[float], number: int, most: float
) -> None:
    downwards = sorted(values, reverse=True)
    left = np.geomspace(1, max(1.0, most * len(values)), number)
    expected = sorted({downwards[math.ceil(count) - 1] + 0.0 for count in left}) if values else []
    assert counted(values).thresholds(number, most).tolist() == expected


def test_thresholds_of_a_million_values_resolve_the_highest_ones() -> None:
    values = np.random.default_rng(0).normal(size=10**6).astype(np.float16)
    thresholds = counted(values).thresholds(40)
    shares = np.array([(values >= threshold).mean() for threshold in thresholds])
    assert thresholds[-1] == values.max()
    assert shares[0] == pytest.approx(0.5, abs=0.01)
    assert (shares < 0.01).sum() >= len(thresholds) / 2
