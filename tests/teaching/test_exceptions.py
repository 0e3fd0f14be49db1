"""Soft exceptions are of an event's place and strength, are kept whoever else changes them, and end by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from msflow_stream.teaching.exception_place import SeenFrame, mask_of
from msflow_stream.teaching.exceptions import Exceptions
from msflow_stream.teaching.layout import exceptions_file
from msflow_stream.types import Event, Scores, Track, UserError, Why
from tests.support.events import REASON, event

SIZE = (640, 480)
CART = Track(1, 1.0, 3.0, ((1.0, (100, 200, 60, 40)), (2.0, (300, 200, 60, 40)), (3.0, (500, 210, 60, 40))))
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def cart(**changes: object) -> Event:
    values = {"end": 3.0, "start": 1.0, "triggers": ("motion", "appearance"), "why": REASON, "tracks": (CART,)}
    return event(**{**values, "regions": ((300, 200, 60, 40),), **changes})  # type: ignore[arg-type]


def test_the_place_is_where_the_thing_went_and_little_more(tmp_path: Path) -> None:
    made = Exceptions(tmp_path / "gate").add_from(cart(), size=SIZE, by="anna")
    place = mask_of(made.boxes, (480, 640))
    assert place[195:245, 100:560].all()
    assert not place[:160].any()
    assert not place[300:].any()
    assert made.share == pytest.approx(mask_of(made.boxes, (48, 48)).mean(), abs=1e-9)
    assert (made.camera, made.kind, made.motion, made.appearance) == ("gate", "motion", 6.0, 0.0)
    assert made.offset == 6.0
    assert made.seconds == pytest.approx(5.0)


def test_recorded_frames_tell_how_strong_it_was_and_where_it_came_from(tmp_path: Path) -> None:
    scores, why = Scores(0.1, 20.0, 3.0, 4.0, 9.0), Why(7.0, 8.0, 0.1)
    seen = [
        SeenFrame(
            0.2, ((40, 200, 60, 40), (600, 20, 30, 30)), scores, Why(99.0, 99.0, 0.1)
        ),  # it comes; something else
        SeenFrame(1.5, ((200, 200, 60, 40),), scores, why),
        SeenFrame(9.0, ((40, 400, 60, 40),), scores, why),  # long after it
    ]
    made = Exceptions(tmp_path / "gate").add_from(cart(), size=SIZE, by="anna", seen=seen)
    place = mask_of(made.boxes, (480, 640))
    assert place[210, 45]
    assert not place[30, 610]
    assert not place[420, 50]
    assert (made.appearance, made.motion) == (7.0, 8.0)
    assert made.peaks["surprise"] == 20.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"triggers": ("view",)}, "about the whole view"),
        ({"regions": ((0, 0, 640, 300),)}, "covers .* of the view: an exception for so much would hide"),
        ({"regions": (), "tracks": ()}, "nothing is known of where"),
    ],
)
def test_what_would_hide_too_much_is_refused_and_said(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Exceptions(tmp_path / "gate").add_from(cart(**changes), size=SIZE, by="anna")
    assert not exceptions_file(tmp_path / "gate").exists()


def test_it_is_kept_once_and_ends_by_itself_or_by_a_person(tmp_path: Path) -> None:
    exceptions = Exceptions(tmp_path / "gate")
    made = exceptions.add_from(cart(), size=SIZE, by="anna", now=NOW, decision=4)
    other = exceptions.add_from(replace(cart(), id="gate-6"), size=SIZE, by="ben", now=NOW)
    assert exceptions.add_from(cart(), size=SIZE, by="ben", now=NOW) == made
    assert Exceptions(tmp_path / "gate").at(NOW) == (made, other)
    assert exceptions.at(NOW + timedelta(days=14)) == ()
    assert exceptions.forget_decision(5, ["gate-5"]) == ()
    assert exceptions.forget_decision(4, ["gate-5"]) == (made,)
    assert exceptions.forget(["gate-7"]) == ()
    assert exceptions.remove(other.id) == other
    assert exceptions.remove(other.id) is None
    assert exceptions.at(NOW) == ()


def test_a_damaged_file_is_no_exception(tmp_path: Path) -> None:
    exceptions = Exceptions(tmp_path / "gate")
    assert exceptions.entries == ()
    exceptions.add_from(cart(), size=SIZE, by="anna")
    exceptions.path.write_text('{"exceptions": [{"id": 3}]}')
    assert exceptions.entries == ()
