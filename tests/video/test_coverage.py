from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest

from msflow_stream.types import Earlier, Frame
from msflow_stream.video.coverage import BRIGHTNESS_BINS, Coverage
from msflow_stream.video.motion import grey

NOON = datetime(2026, 5, 12, 12).astimezone()
SIZE = (48, 64, 3)


def frames(
    seconds: int, level: int = 120, start: datetime | None = NOON, moving: bool | None = False, begin: float = 0.0
) -> Iterator[Frame]:
    """One frame every four seconds; where something moves it takes a twelfth of the view."""
    before = np.full(SIZE, level, np.uint8)
    image = before.copy()
    if moving:
        image[16:32, 16:32] = 255 - level
    earlier = None if moving is None else Earlier(grey(before), 0.1)
    for second in range(0, seconds + 1, 4):
        wall = None if start is None else start + timedelta(seconds=second)
        yield Frame("gate", second, None, begin + second, wall, image, earlier)


def covering(*parts: Iterator[Frame]) -> Coverage:
    coverage = Coverage()
    for part in parts:
        for frame in part:
            coverage.add(frame)
    return coverage


def test_seconds_are_counted_by_hour_brightness_and_motion() -> None:
    coverage = covering(frames(60), frames(32, 20, NOON + timedelta(hours=10), moving=True, begin=1000))
    assert coverage.seconds == 92
    assert {hour: value for hour, value in enumerate(coverage.hours) if value} == {12: 60, 22: 32}
    level = 120 * BRIGHTNESS_BINS // 256
    assert coverage.brightness[level] == 60
    assert sum(coverage.brightness) == sum(coverage.motion) == 92
    assert coverage.motion[0] == 60
    assert coverage.moving == pytest.approx(32 / 92)


def test_a_gap_and_another_source_are_no_footage() -> None:
    assert covering(frames(12), frames(12, begin=3600)).seconds == 24


def test_frames_that_follow_soon_are_not_all_looked_at_and_none_of_their_time_is_lost() -> None:
    coverage = Coverage()
    for index in range(251):
        coverage.add(Frame("gate", index, None, index / 25, NOON, np.zeros(SIZE, np.uint8)))
    assert coverage.seconds == pytest.approx(10, abs=0.5)


def test_what_is_missing_is_said_in_words() -> None:
    assert Coverage().missing() == ["nothing is recorded yet"]
    by_day = covering(frames(700)).missing()
    assert by_day == [
        "no frames after dark yet",
        "nothing from the night, the morning and the evening yet",
        "nothing moves so far: include a busy hour",
    ]
    night = covering(frames(60, 10, NOON + timedelta(hours=11), moving=True)).missing()
    assert night == [
        "less than ten minutes so far: half an hour or more tells better what is usual",
        "only dark frames so far: include daylight",
        "nothing from the morning, the afternoon and the evening yet",
        "something moves all the time so far: include a quiet hour",
    ]


def test_a_room_that_is_lit_at_night_lacks_no_dark_frames() -> None:
    assert not any("dark" in text for text in covering(frames(60, 120, NOON + timedelta(hours=11))).missing())


def test_footage_that_covers_a_day_and_a_rush_lacks_nothing() -> None:
    quarters = (
        frames(140, 20 if hour >= 22 else 120, NOON.replace(hour=hour), moving=hour == 7, begin=10_000 * hour)
        for hour in (0, 7, 13, 19, 23)
    )
    assert covering(*quarters).missing() == []


def test_frames_that_do_not_say_when_they_came_or_what_moved_are_not_complained_about() -> None:
    assert covering(frames(700, start=None, moving=None)).missing() == ["no frames after dark yet"]


def test_it_is_read_as_it_was_written() -> None:
    coverage = covering(frames(60, moving=True))
    again = Coverage.from_json(coverage.to_json())
    assert again.to_json() == coverage.to_json()
    assert again.missing() == coverage.missing()


@pytest.mark.parametrize("content", [{}, {"seconds": 1}, {"seconds": 1, "hours": [1], "brightness": [], "motion": []}])
def test_something_else_is_no_coverage(content: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Coverage.from_json(content)
