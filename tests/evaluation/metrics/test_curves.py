from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.evaluation.metrics.streaming import Curve

STEPS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60)


def curve(*corners: tuple[float, float]) -> Curve:
    return Curve(np.array([x for x, _ in corners], float), np.array([y for _, y in corners], float))


def risen(steps: list[tuple[int, int]]) -> Curve:
    x, y = np.cumsum([(0, 0), *steps], axis=0, dtype=float).T
    return Curve(x, y)


@pytest.mark.parametrize(
    ("corners", "limit", "expected"),
    [
        ([(0, 0), (1, 1)], 1, 0.5),
        ([(0, 0), (1, 1)], 0.3, 0.15),  # the triangle to the limit has a height of 0.3
        ([(0, 0), (0, 1), (1, 1)], 0.3, 1),  # a step at 0
        ([(0, 0), (0.5, 0.8)], 1, 0.25 * 0.8 + 0.5 * 0.8),  # held after the last corner
        ([(0, 0)], 1, 0),
        ([(0, 0), (0.5, 0), (0.5, 1), (1, 1)], 0.5, 0),  # a step at the limit does not count
        ([(0, 0.2), (2, 0.6)], 1, 0.3),  # interpolated at the limit
    ],
)
def test_the_mean_height_follows_by_hand(corners: list[tuple[float, float]], limit: float, expected: float) -> None:
    assert curve(*corners).mean(limit) == pytest.approx(expected)


@given(STEPS, st.integers(2, 20))
def test_a_thinned_curve_stays_near_every_corner_and_keeps_both_ends(steps: list[tuple[int, int]], points: int) -> None:
    whole = risen(steps)
    thin = whole.thinned(points)
    corners = list(zip(whole.x.tolist(), whole.y.tolist(), strict=True))
    kept = list(zip(thin.x.tolist(), thin.y.tolist(), strict=True))
    assert len(kept) <= points
    assert set(kept) <= set(corners)
    assert (kept[0], kept[-1]) == (corners[0], corners[-1])
    width, height = whole.x[-1] or 1, whole.y[-1] or 1
    for x, y in corners:
        nearest = min(abs(x - u) / width + abs(y - v) / height for u, v in kept)
        assert nearest <= 2 / (points - 1) + 1e-9


@given(STEPS, st.sampled_from([0.5, 3.0, 100.0, 1000.0]))
def test_the_part_up_to_a_limit_has_the_same_mean(steps: list[tuple[int, int]], limit: float) -> None:
    whole = risen(steps)
    part = whole.until(limit)
    assert part.x[-1] == limit
    assert (np.diff(part.x) >= 0).all()
    assert (np.diff(part.y) >= 0).all()
    assert part.mean(limit) == pytest.approx(whole.mean(limit))
