"""Motion that was taught is usual where, as and as large as it was; elsewhere, otherwise and faster it is not."""

from __future__ import annotations

import numpy as np
import pytest

from msflow_stream.scenes.motion import Floats, MotionFit, MotionModel
from msflow_stream.teaching.fitting.taught_motion import with_motion
from msflow_stream.video.motion import PLACES

EVERYWHERE = np.ones(PLACES, np.bool_)
PATH = (slice(10, 14), slice(10, 30))


def moving(right: float, down: float = 0.0, at: tuple[slice, slice] = PATH) -> Floats:
    field = np.zeros((*PLACES, 3), np.float32)
    field[at] = right, down, 1.0
    return field


@pytest.fixture(scope="module")
def walked() -> tuple[MotionModel, list[Floats]]:
    fit, seen = MotionFit(), [moving(speed) for speed in np.linspace(-0.05, 0.05, 40)]
    for field in seen:
        fit.add(field)
    return fit.model(), seen


def test_taught_motion_is_as_usual_as_most_normal_frames(walked: tuple[MotionModel, list[Floats]]) -> None:
    model, seen = walked
    taught = with_motion(model, [(moving(0.3), EVERYWHERE)], seen)
    usual = max(model.measure(field).score for field in seen)
    assert model.measure(moving(0.3)).score > 2 * usual
    assert taught.measure(moving(0.3)).score <= usual


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(moving(-0.3), id="the other way"),
        pytest.param(moving(0.3, at=(slice(24, 28), slice(10, 30))), id="elsewhere"),
    ],
)
def test_all_else_stays_exactly_as_unusual(walked: tuple[MotionModel, list[Floats]], other: Floats) -> None:
    model, seen = walked
    taught = with_motion(model, [(moving(0.3), EVERYWHERE)], seen)
    assert taught.measure(other).score == model.measure(other).score


def test_motion_across_the_taught_way_stays_far_from_usual(walked: tuple[MotionModel, list[Floats]]) -> None:
    model, seen = walked
    taught = with_motion(model, [(moving(0.3), EVERYWHERE)], seen)
    usual = max(model.measure(field).score for field in seen)
    assert taught.measure(moving(0.0, 0.3)).score > 5 * usual


def test_what_is_faster_is_unusual_in_proportion(walked: tuple[MotionModel, list[Floats]]) -> None:
    model, seen = walked
    taught = with_motion(model, [(moving(0.3), EVERYWHERE)], seen)
    assert taught.measure(moving(0.9)).score == pytest.approx(3 * taught.measure(moving(0.3)).score, rel=1e-3)


@pytest.mark.parametrize(
    "at",
    [
        pytest.param((slice(11, 13), slice(18, 24)), id="smaller"),
        pytest.param((slice(4, 20), slice(4, 36)), id="larger"),
    ],
)
def test_what_is_smaller_or_larger_on_the_taught_way_stays_exactly_as_unusual(
    walked: tuple[MotionModel, list[Floats]], at: tuple[slice, slice]
) -> None:
    model, seen = walked
    taught = with_motion(model, [(moving(0.3), EVERYWHERE)], seen)
    assert taught.measure(moving(0.3, at=at)).score == model.measure(moving(0.3, at=at)).score > 5


def test_a_second_lesson_keeps_the_first(walked: tuple[MotionModel, list[Floats]]) -> None:
    model, seen = walked
    small = moving(0.3, at=(slice(24, 28), slice(10, 16)))
    taught = with_motion(with_motion(model, [(moving(0.3), EVERYWHERE)], seen), [(small, EVERYWHERE)], seen)
    usual = max(model.measure(field).score for field in seen)
    assert taught.measure(moving(0.3)).score <= usual
    assert taught.measure(small).score <= usual


def test_motion_outside_the_place_of_the_event_teaches_nothing(walked: tuple[MotionModel, list[Floats]]) -> None:
    model, seen = walked
    assert with_motion(model, [(moving(0.3), ~EVERYWHERE)], seen) is model
