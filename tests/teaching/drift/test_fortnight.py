"""A card says on the right day what has drifted; a stable fortnight has none."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.teaching.drift.fortnight import FIRST, LIGHTS, PROMISED, Changes, Fortnight, accelerate, watched

DAY_8 = FIRST + timedelta(days=7)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerate(monkeypatch)


def the(fortnight: Fortnight, kind: str, day: int):  # type: ignore[no-untyped-def]
    """Returns the only finding of a day."""
    (found,) = fortnight.on(day).findings
    assert found.kind == kind
    return found


@pytest.mark.parametrize("seed", range(10))
def test_a_stable_fortnight_has_no_card(tmp_path: Path, seed: int) -> None:
    assert watched(tmp_path, seed).cards() == {}


def test_more_false_alarms_raise_a_card_on_the_first_day_of_many(tmp_path: Path) -> None:
    fortnight = watched(tmp_path, 20, Changes(rate=lambda day: 15 * PROMISED if day >= 8 else PROMISED))

    assert fortnight.cards() == {"alarms": 8}
    found = the(fortnight, "alarms", 9)
    assert found.since == DAY_8
    assert "not labelled" in found.text


def test_alarms_that_were_violations_are_not_false(tmp_path: Path) -> None:
    fortnight = watched(tmp_path, 20, Changes(rate=lambda day: 15 * PROMISED if day >= 8 else PROMISED))

    fortnight.events = [(when, "violation") for when, _ in fortnight.events]

    assert fortnight.cards() == {}


def test_a_moved_camera_raises_a_card_on_its_day(tmp_path: Path) -> None:
    moved = Changes(shift=lambda day, hour: 0.04 if (day, hour) >= (8, 12) else 0.0)

    fortnight = watched(tmp_path, 21, moved)

    assert fortnight.cards() == {"moved": 8}
    found = the(fortnight, "moved", 14)
    assert found.since == DAY_8
    assert "4% of the width further right, since about 12:00" in found.text


def test_a_camera_that_is_put_back_has_no_card_any_more(tmp_path: Path) -> None:
    fortnight = watched(tmp_path, 22, Changes(shift=lambda day, hour: 0.04 if day == 8 else 0.0))

    assert fortnight.cards() == {"moved": 8}
    assert not fortnight.on(9).findings


def test_light_that_was_not_learnt_raises_a_card_with_its_hours(tmp_path: Path) -> None:
    dark = Changes(light=lambda day, hour: 0.08 if day >= 8 and hour == 21 else LIGHTS[hour])

    fortnight = watched(tmp_path, 23, dark)

    assert fortnight.cards() == {"light": 8}
    found = the(fortnight, "light", 14)
    assert found.since == DAY_8
    assert "darker" in found.text
    assert "Record 30 minutes between 21:00 and 22:00" in found.advice


def test_scores_that_creep_up_raise_a_card_within_a_week(tmp_path: Path) -> None:
    fortnight = watched(tmp_path, 24, Changes(creep=lambda day: 0.06 * max(0, day - 7)))

    assert set(fortnight.cards()) == {"scores"}
    assert 9 <= fortnight.cards()["scores"] <= 13
    assert the(fortnight, "scores", 14).since in (DAY_8, DAY_8 + timedelta(days=1))


def test_another_fit_begins_anew(tmp_path: Path) -> None:
    fortnight = watched(tmp_path, 21, Changes(shift=lambda day, hour: 0.04 if day >= 8 else 0.0))

    fortnight.learnt = type(fortnight.learnt)("another fit", PROMISED)

    assert not fortnight.on(14).findings
