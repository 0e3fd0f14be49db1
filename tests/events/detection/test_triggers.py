from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from msflow_stream.config.settings import EventSettings, ScoreSettings
from msflow_stream.events.detection.triggers import Trigger, triggers_of
from msflow_stream.scenes.tails.fitting import Tail
from msflow_stream.types import ScoreKind

PAPER = ScoreSettings(kind="paper")


@dataclass
class Calibrated:
    """As much of a scene's calibration as triggers read."""

    thresholds: dict[ScoreKind, float] = field(
        default_factory=lambda: {"paper": 2.0, "surprise": 20.0, "surprise_mean": 7.0}
    )
    tails: dict[ScoreKind, Tail] = field(default_factory=dict)
    quantiles: dict[ScoreKind, dict[str, float]] = field(
        default_factory=lambda: {"paper": {"0.5": 1.0}, "surprise": {"0.5": 10.0}, "surprise_mean": {"0.5": 5.0}}
    )


def kinds(event: EventSettings, score: ScoreSettings, calibration: Calibrated | None) -> list[str]:
    return [trigger.kind for trigger in triggers_of(event, score, calibration)]  # type: ignore[arg-type]


def test_the_score_of_the_scene_and_the_surprise_trigger_unless_told_otherwise() -> None:
    assert kinds(EventSettings(), PAPER, Calibrated()) == ["paper", "surprise"]
    assert kinds(EventSettings(), ScoreSettings(kind="surprise"), Calibrated()) == ["surprise"]
    assert kinds(EventSettings(), ScoreSettings(kind="surprise_mean"), Calibrated()) == ["surprise_mean", "surprise"]
    assert kinds(EventSettings(triggers=("surprise", "paper")), PAPER, Calibrated()) == ["surprise", "paper"]


def test_the_combined_score_is_the_only_trigger_as_it_is_for_one_place_and_the_whole_view() -> None:
    calibration = Calibrated()
    calibration.thresholds["combined"] = 3.0
    calibration.quantiles["combined"] = {"0.5": 0.3}
    assert triggers_of(EventSettings(), ScoreSettings(), calibration) == (Trigger("combined", 3.0, 0.3),)  # type: ignore[arg-type]


def test_thresholds_and_what_is_normal_are_the_calibration_s() -> None:
    paper, surprise = triggers_of(EventSettings(), PAPER, Calibrated())  # type: ignore[arg-type]
    assert (paper, surprise) == (Trigger("paper", 2.0, 1.0), Trigger("surprise", 20.0, 10.0))


def test_a_threshold_that_is_given_is_that_of_the_scene_s_score_alone() -> None:
    paper, surprise = triggers_of(EventSettings(), ScoreSettings(kind="paper", threshold=3.0), Calibrated())  # type: ignore[arg-type]
    assert (paper.threshold, surprise.threshold) == (3.0, 20.0)


def test_without_calibration_only_a_threshold_that_is_given_triggers() -> None:
    assert triggers_of(EventSettings(), PAPER, None) == ()
    assert triggers_of(EventSettings(), ScoreSettings(kind="paper", threshold=3.0), None) == (Trigger("paper", 3.0),)


@pytest.mark.parametrize("threshold", [math.inf, -math.inf, math.nan])
def test_a_trigger_without_a_finite_threshold_is_silent(threshold: float) -> None:
    calibration = Calibrated()
    calibration.thresholds["surprise"] = threshold
    assert kinds(EventSettings(), PAPER, calibration) == ["paper"]
    del calibration.thresholds["surprise"]
    assert kinds(EventSettings(), PAPER, calibration) == ["paper"]


def test_each_kind_has_the_probability_of_its_own() -> None:
    found = triggers_of(EventSettings(), PAPER, Calibrated(), {"surprise": math.exp})  # type: ignore[arg-type]
    assert [trigger.probability for trigger in found] == [None, math.exp]


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (Trigger("paper", 2.0, 1.0), 1.8),
        (Trigger("paper", -1.0, -2.0), -1.2),
        (Trigger("paper", 2.0), 2.0),
        (Trigger("paper", 2.0, 3.0), 2.0),  # a threshold below what is normal
    ],
)
def test_the_release_level_is_on_the_way_from_normal_to_the_threshold_and_never_above_it(
    trigger: Trigger, expected: float
) -> None:
    assert trigger.release_level(0.8) == pytest.approx(expected)
    assert trigger.release_level(1.0) == pytest.approx(trigger.threshold)
