"""What motion is normal: a street in one direction, faster above and below, much footage and little."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest

from msflow_stream.scenes.motion import MotionFit, MotionModel
from msflow_stream.video.motion import PLACES

Field = npt.NDArray[np.float32]  # PLACES x 3

ROWS, COLUMNS = PLACES


def field(right: float, down: float = 0.0, row: int = 16, column: int = 24) -> Field:
    """A thing of four by three places that moves, and nothing else."""
    result = np.zeros((*PLACES, 3), np.float32)
    result[row - 2 : row + 2, column - 1 : column + 2] = (right, down, 1)
    return result


def walks(count: int, seed: int = 0, slow: float = 0.02, fast: float = 0.08) -> list[Field]:
    """Walks to the right, slow above and fast below, each at a place and a speed that varies a little."""
    random = np.random.default_rng(seed)
    rows, columns = random.integers(2, ROWS - 2, count), random.integers(1, COLUMNS - 2, count)
    speeds = random.normal(1, 0.15, count).clip(0.5, 1.5) * (slow + (fast - slow) * rows / ROWS)
    return [field(speed, 0.0, row, column) for speed, row, column in zip(speeds, rows, columns, strict=True)]


def fitted(fields: Iterable[Field]) -> MotionModel:
    fit = MotionFit()
    for one in fields:
        fit.add(one)
    return fit.model()


@pytest.fixture(scope="module")
def street() -> MotionModel:
    return fitted(walks(600))


def score(model: MotionModel, *given: float, **place: int) -> float:
    return model.measure(field(*given, **place)).score


def test_the_wrong_way_is_several_times_as_unusual_at_the_same_speed(street: MotionModel) -> None:
    assert score(street, -0.05) > 3 * score(street, 0.05)


@pytest.mark.parametrize("times", [2.0, 5.0])
def test_what_is_so_many_times_as_fast_lies_so_many_times_as_far_out(street: MotionModel, times: float) -> None:
    assert score(street, times * 0.05) == pytest.approx(times * score(street, 0.05), rel=1e-5)


def test_standing_still_and_going_slowly_are_never_more_unusual_than_going(street: MotionModel) -> None:
    by_speed = [score(street, speed) for speed in (0.0, 0.005, 0.02, 0.05)]
    assert by_speed == sorted(by_speed)
    assert by_speed[0] == 0
    assert street.measure(field(0.0)).moved is None


def test_what_is_normal_below_is_fast_above() -> None:
    view = fitted(walks(2000, slow=0.01, fast=0.1))
    assert score(view, 0.06, row=4) > 1.3 * score(view, 0.06, row=28)


def test_little_footage_says_nearly_what_much_of_the_same_does() -> None:
    little, much = fitted(walks(100, seed=1)), fitted(walks(2000, seed=2))
    for speed, row, column in ((0.05, 16, 24), (0.1, 6, 10), (0.15, 26, 40)):
        assert score(little, speed, row=row, column=column) == pytest.approx(
            score(much, speed, row=row, column=column), rel=0.25
        )


def test_where_nothing_ever_moved_any_walk_is_unusual_and_finite() -> None:
    empty = fitted([np.zeros((*PLACES, 3), np.float32)] * 50)
    walk = empty.measure(field(0.05))
    assert np.isfinite(walk.map).all()
    assert 10 < walk.score < 1000
    assert empty.measure(np.zeros((*PLACES, 3), np.float32)).score == 0


def test_the_order_of_frames_does_not_matter(street: MotionModel) -> None:
    assert fitted(reversed(walks(600))).usual == pytest.approx(street.usual, rel=1e-5)


def test_the_most_unusual_motion_is_told_with_its_place_and_what_is_normal_there(street: MotionModel) -> None:
    moved = MotionModel(street.usual, most=2.0).measure(field(-0.09, 0.03, row=16, column=24)).moved
    assert moved is not None
    assert (moved.right, moved.down) == pytest.approx((-0.09, 0.03))
    assert moved.speed == pytest.approx(np.hypot(0.09, 0.03))
    assert moved.x == pytest.approx(24 / COLUMNS, abs=2 / COLUMNS)
    assert moved.y == pytest.approx(16 / ROWS, abs=3 / ROWS)
    at_the_limit = field(*(np.array([moved.right, moved.down]) * moved.limit / moved.speed))
    assert street.measure(at_the_limit).map.max() == pytest.approx(2.0, rel=0.02)


def test_only_places_of_the_area_count(street: MotionModel) -> None:
    area = np.zeros(PLACES, bool)
    area[:, :10] = True
    assert street.measure(field(0.5), area).score == 0
    assert street.measure(field(0.5, column=5), area).score == street.measure(field(0.5, column=5)).score > 0
