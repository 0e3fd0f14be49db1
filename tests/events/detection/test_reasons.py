"""What was unusual, in words and numbers, from numbers alone."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from msflow_stream.events.detection.detector import EventDetector
from msflow_stream.events.detection.reasons import direction, place, rarity, reason_of, wording
from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.series import SmoothedScore
from msflow_stream.types import Event, EventMessage, FrameScore, Motion, PartName, Scores, Why
from tests.events.detection.detecting import COLD, SETTINGS, STEP

LEFT = Motion(right=-0.11, down=0.0, limit=0.032, x=0.1, y=0.9)
THRESHOLD = 3.0


@pytest.mark.parametrize(
    ("why", "trigger", "text"),
    [
        (
            Why(0.5, 6.0, 0.0, LEFT),
            "motion",
            "moved at 0.11 widths/s where normal is at most 0.032, to the left, at the lower left; appearance normal",
        ),
        (
            Why(4.3, 0.2, 0.1, LEFT, x=0.9, y=0.1),
            "appearance",
            "looks unusual at the upper right (as rare as 1 in 20 000 normal frames); motion normal",
        ),
        (
            Why(4.3, None, 0.1, x=0.5, y=0.5),
            "appearance",
            "looks unusual in the middle (as rare as 1 in 20 000 normal frames); motion not known",
        ),
        (
            Why(9.0, 0.0, 0.8),
            "view",
            "most of the view looks unusual (covered, moved or dark?); motion normal",
        ),
        (
            Why(2.5, 6.0, 0.0, LEFT, x=0.1, y=0.5),
            "motion",
            "moved at 0.11 widths/s where normal is at most 0.032, to the left, at the lower left; "
            "looks unusual at the left (as rare as 1 in 320 normal frames)",
        ),
        (
            Why(9.0, 2.5, 0.8, LEFT),
            "view",
            "most of the view looks unusual (covered, moved or dark?); "
            "moved at 0.11 widths/s where normal is at most 0.032, to the left, at the lower left",
        ),
    ],
)
def test_the_words_say_first_what_triggered_and_then_what_the_other_part_says(
    why: Why, trigger: PartName, text: str
) -> None:
    assert wording(why, trigger) == text


def test_a_motion_that_is_not_faster_than_normal_is_not_told_as_if_it_were() -> None:
    slow = Why(2.9, 2.1, 0.0, LEFT._replace(right=-0.02))
    assert "moved at 0.02 widths/s where up to 0.032 is normal" in wording(slow, "motion")
    assert "normal is at most 0.001," in wording(slow._replace(moved=LEFT._replace(limit=1e-9)), "motion")


@pytest.mark.parametrize(
    ("right", "down", "words"),
    [
        (1, 0, "to the right"),
        (1, 1, "to the lower right"),
        (0, 1, "downwards"),
        (-1, 1, "to the lower left"),
        (-1, 0, "to the left"),
        (-1, -1, "to the upper left"),
        (0, -1, "upwards"),
        (1, -1, "to the upper right"),
        (-1, 0.4, "to the left"),
        (-1, -0.4, "to the left"),
        (-1, 0.42, "to the lower left"),
    ],
)
def test_a_direction_is_the_nearest_of_eight(right: float, down: float, words: str) -> None:
    assert direction(right, down) == words
    assert direction(right * 1e-3, down * 1e-3) == words, "whatever the speed"


def test_a_place_is_one_of_nine() -> None:
    shares = (0.0, 0.5, 1.0)
    assert [[place(x, y) for x in shares] for y in shares] == [
        ["at the upper left", "at the top", "at the upper right"],
        ["at the left", "in the middle", "at the right"],
        ["at the lower left", "at the bottom", "at the lower right"],
    ]


@pytest.mark.parametrize(
    ("surprisal", "words"),
    [
        (2, "as rare as 1 in 100 normal frames"),
        (3.33, "as rare as 1 in 2 100 normal frames"),
        (6, "as rare as 1 in 1 000 000 normal frames"),
        (6.1, "rarer than 1 in a million normal frames"),
        (math.inf, "rarer than 1 in a million normal frames"),
    ],
)
def test_rarity_is_told_in_two_digits_and_not_beyond_what_a_tail_can_know(surprisal: float, words: str) -> None:
    assert rarity(surprisal) == words


def frame(number: int, combined: float, why: Why | None) -> FrameScore:
    scores = Scores(0.0, 0.0, 0.0, motion=0.0, combined=combined)
    return FrameScore("gate", "yard", 5 * number, number * STEP, None, scores, COLD, why=why)


def said(*whys: Why | None) -> list[EventMessage]:
    """What is said of frames with these parts, after one and before two that are normal."""
    detector = EventDetector(
        [Trigger("combined", THRESHOLD, normal=0.3)], SETTINGS, smoothing=0.0, level=1.0, size=(60, 40)
    )
    calm = Why(0.3, 0.3, 0.0)
    messages = []
    for number, why in enumerate((calm, *whys, calm, calm)):
        score = frame(number, 0.3 if why is calm else 5.0, why)
        messages += detector.update(SmoothedScore(score, score.scores._asdict()))
    return messages + detector.close()


def event(*whys: Why | None) -> Event:
    (found,) = [message.event for message in said(*whys) if message.kind == "close"]
    return found


def moving(motion: float, appearance: float = 0.5, view: float = 0.0) -> Why:
    return Why(appearance, motion, view, LEFT)


def test_an_event_of_the_combined_score_is_triggered_by_the_part_that_says_most() -> None:
    assert event(*[moving(2.8, 1.9)] * 4).triggers == ("motion",)
    assert event(*[moving(1.9, 2.8)] * 4).triggers == ("appearance",)
    assert event(*[moving(1.9, 2.8, view=0.9)] * 4).triggers == ("view",)
    assert event(*[Why(3.5, None, 0.1)] * 4).triggers == ("appearance",)


def test_a_part_that_reaches_the_threshold_by_itself_is_a_trigger_too_after_the_one_that_opened() -> None:
    quiet, loud = moving(3.5, 2.9), moving(5.0, THRESHOLD)
    assert event(quiet, quiet, quiet).triggers == ("motion",)
    assert event(quiet, quiet, loud).triggers == ("motion", "appearance")
    assert event(moving(2.0, 4.0), quiet, quiet).triggers == ("appearance", "motion")
    assert event(moving(3.1, 3.0), moving(3.0, 3.1), quiet).triggers == ("motion", "appearance")


def test_a_new_trigger_is_news() -> None:
    messages = said(*[moving(3.5)] * 8, *[moving(3.5, 4.0)] * 6)
    assert [(one.kind, one.event.triggers) for one in messages] == [
        ("open", ("motion",)),
        ("update", ("motion", "appearance")),
        ("close", ("motion", "appearance")),
    ]


def test_the_reason_is_that_of_the_most_unusual_frame_so_far_of_what_opened_the_event() -> None:
    fast = LEFT._replace(right=-0.3)
    whys = [moving(3.5), moving(3.4), moving(3.4), moving(6.0)._replace(moved=fast), moving(4.0, 9.0), moving(4.0)]
    opened, *_, closed = said(*whys)
    assert opened.event.why == reason_of(frame(1, 5.0, whys[0]), whys[0], "motion")
    assert closed.event.why is not None
    assert (closed.event.why.index, closed.event.why.time) == (20, pytest.approx(0.8))
    assert (closed.event.why.trigger, closed.event.why.speed) == ("motion", pytest.approx(0.3))


def test_a_reason_has_the_numbers_that_its_words_are_made_of() -> None:
    reason = reason_of(frame(3, 5.0, None), Why(0.5, 6.0, 0.2, LEFT, x=0.7, y=0.1), "motion")
    assert asdict(reason) == {
        "text": "moved at 0.11 widths/s where normal is at most 0.032, to the left, at the lower left; "
        "appearance normal",
        "trigger": "motion",
        "index": 15,
        "time": pytest.approx(0.6),
        "appearance": 0.5,
        "motion": 6.0,
        "view": 0.2,
        "place": "at the lower left",
        "at": (0.1, 0.9),
        "direction": "to the left",
        "velocity": (-0.11, 0.0),
        "speed": pytest.approx(0.11),
        "limit": 0.032,
    }
    looks = reason_of(frame(3, 5.0, None), Why(math.inf, None, 0.2, x=0.7, y=0.1), "appearance")
    assert (looks.place, looks.at, looks.motion, looks.direction) == ("at the upper right", (0.7, 0.1), None, None)
    json.dumps(asdict(looks), allow_nan=False)


def test_an_event_of_another_score_has_the_kind_for_its_trigger_and_no_reason() -> None:
    detector = EventDetector([Trigger("paper", 1.0)], SETTINGS, smoothing=0.0, level=1.0, size=(60, 40))
    for number in range(4):
        scores = Scores(2.0, 0.0, 0.0, motion=9.0, combined=9.0)
        score = FrameScore("gate", "yard", number, number * STEP, None, scores, COLD, why=moving(9.0))
        detector.update(SmoothedScore(score, scores._asdict()))
    (closed,) = detector.close()
    assert (closed.event.triggers, closed.event.why) == (("paper",), None)


def test_a_combined_score_without_its_parts_is_named_as_it_is() -> None:
    assert event(None, None, None).triggers == ("combined",)
    assert event(None, None, None).why is None
    broken = Why(np.nan, 4.0, 0.0)
    assert event(broken, broken, broken).triggers == ("combined",)
