from __future__ import annotations

import math

import pytest

from msflow_stream.events.detection.open_event import severity_of
from msflow_stream.events.detection.triggers import Trigger


@pytest.mark.parametrize(
    ("peak", "expected"), [(2.1, "low"), (2.9, "low"), (3.0, "medium"), (4.9, "medium"), (5, "high")]
)
def test_with_a_tail_it_is_how_much_rarer_the_peak_is_than_the_threshold(peak: float, expected: str) -> None:
    assert severity_of(Trigger("paper", 2.0, 0.0, lambda score: 10.0**-score), peak) == expected


def test_beyond_the_end_of_a_tail_it_is_high() -> None:
    assert severity_of(Trigger("paper", 2.0, 0.0, lambda score: 1e-3 if score < 3 else 0.0), 3.5) == "high"


@pytest.mark.parametrize("lowest", [0.0, 1e-12, math.nan])
def test_a_tail_that_ends_before_the_threshold_leaves_it_to_the_distance(lowest: float) -> None:
    trigger = Trigger("paper", 6.0, 4.0, lambda score: lowest)
    assert [severity_of(trigger, peak) for peak in (6.9, 7.0, 8.0)] == ["low", "medium", "high"]


@pytest.mark.parametrize(("peak", "expected"), [(6.0, "low"), (6.9, "low"), (7.0, "medium"), (8.0, "high")])
def test_without_a_tail_it_is_how_far_the_peak_is_above_the_threshold(peak: float, expected: str) -> None:
    assert severity_of(Trigger("paper", 6.0, 4.0), peak) == expected


@pytest.mark.parametrize(
    ("threshold", "peak", "expected"), [(4, 5, "low"), (4, 6, "medium"), (-4, 0, "high"), (0, 1, "high")]
)
def test_without_calibration_it_is_in_parts_of_the_threshold(threshold: float, peak: float, expected: str) -> None:
    assert severity_of(Trigger("paper", threshold), peak) == expected


def test_a_higher_peak_is_never_less_severe() -> None:
    for trigger in (
        Trigger("paper", 2.0),
        Trigger("paper", 2.0, 1.0),
        Trigger("paper", 2.0, 1.0, lambda s: math.exp(-s)),
    ):
        found = [["low", "medium", "high"].index(severity_of(trigger, 2 + step / 10)) for step in range(200)]
        assert found == sorted(found)
        assert set(found) == {0, 1, 2}
