"""Work in the background stands still while the watch does worse with it than without it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from msflow_stream.stream.counters import Counters, SourceCounts
from msflow_stream.video.live.states import State
from msflow_stream.watch.report import CameraReport, WatchReport
from pipelines.governor import FIRST_PAUSE, LONGEST_PAUSE, Governor
from tests.web.reports import running

STARTED = datetime(2026, 3, 1, tzinfo=UTC)


class Day:
    """A watch whose frames and whose clock go on second by second."""

    def __init__(self) -> None:
        self.now, self.delivered, self.dropped = 0.0, 0, 0
        self.others: tuple[CameraReport, ...] = ()
        self.governor = Governor(lambda: self.now)

    def second(self, rate: int, *, working: bool = True, dropped: int = 0, lag: float = 0.2) -> bool:
        """One more second at so many frames; returns whether work may run."""
        self.now += 1
        self.delivered, self.dropped = self.delivered + rate, self.dropped + dropped
        camera = running()
        counts = SourceCounts(self.delivered + self.dropped, self.delivered, self.delivered, {"late": self.dropped})
        camera = replace(camera, counts=counts, status=replace(camera.status, lag=lag))
        return self.governor.look(
            WatchReport((camera, *self.others), Counters().snapshot(), STARTED, "cpu", None, 0, 0), working
        )

    def seconds(self, count: int, rate: int, **others: float) -> list[bool]:
        return [self.second(rate, **others) for _ in range(count)]  # type: ignore[arg-type]


def test_work_that_costs_nothing_goes_on() -> None:
    day = Day()
    day.seconds(10, 30, working=False)

    assert all(day.seconds(60, 29))


def test_it_stands_still_when_frames_are_fewer_than_without_it_and_then_goes_on() -> None:
    day = Day()
    day.seconds(10, 30, working=False)

    assert not all(day.seconds(6, 24))
    assert not any(day.seconds(int(FIRST_PAUSE), 30))
    assert any(day.seconds(2 * int(FIRST_PAUSE), 30))


def test_it_stands_still_at_once_when_a_camera_is_late() -> None:
    day = Day()
    day.seconds(10, 30, working=False)
    assert day.second(30)

    assert not day.second(30, lag=1.5)


def test_it_stands_still_when_more_frames_are_dropped() -> None:
    day = Day()
    day.seconds(10, 30, working=False, dropped=3)

    assert all(day.seconds(10, 30, dropped=3)), "as many as without the work are no reason"
    assert not all(day.seconds(5, 30, dropped=6))


def test_a_camera_that_is_lost_is_no_reason() -> None:
    day = Day()
    day.others = (running("yard"),)
    day.seconds(10, 30, working=False)
    assert day.second(30)
    lost = running("yard")
    status = replace(lost.status, state=State.RECONNECTING, lag=500.0)
    day.others = (replace(lost, status=status, counts=SourceCounts(1, 1, 1, {})),)

    assert all(day.seconds(60, 15)), "fewer frames come, and none is late"
    assert not day.second(15, lag=1.5)


def test_work_that_always_costs_too_much_gets_less_and_less_time_but_some() -> None:
    day, ran = Day(), 0
    day.seconds(10, 30, working=False)
    may, runs = True, []
    for _ in range(20 * int(LONGEST_PAUSE)):
        may = day.second(20 if may else 30)
        runs.append(may)

    late = runs[len(runs) // 2 :]
    ran = sum(late)
    assert 0 < ran < 0.1 * len(late), f"{ran} of {len(late)} seconds"


def test_a_watch_that_gives_fewer_frames_by_itself_holds_nothing_up_for_ever() -> None:
    day = Day()
    day.seconds(10, 30, working=False)
    day.seconds(200, 15)

    assert all(day.seconds(20, 15))
