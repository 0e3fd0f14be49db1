from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from msflow_stream.web.live.relay import Relay, View, fitting, sequence
from msflow_stream.web.watch_client import WatchAway
from tests.support.fake_watch import FakeWatch
from tests.support.virtual_time import run

T = TypeVar("T")
GATE = View("gate", 480)


async def soon(work: Awaitable[T]) -> T:
    return await asyncio.wait_for(work, 5)


def test_any_number_of_browsers_share_one_request() -> None:
    async def look() -> None:
        watch = FakeWatch(["gate"])
        relay = Relay(watch)
        frames = await soon(asyncio.gather(*(relay.frame(GATE) for _ in range(20))))
        assert len({sequence(frame) for frame in frames if frame}) == 1
        assert watch.asked == {("gate", 480): 1}

    run(look())


def test_nothing_is_asked_more_often_than_its_pace() -> None:
    async def look() -> None:
        watch = FakeWatch(["gate"], interval=0.01)
        relay = Relay(watch)

        async def browser() -> None:
            after = -1
            while True:
                frame = await relay.frame(GATE, after, pace=0.1)
                assert frame is not None
                assert sequence(frame) > after
                after = sequence(frame)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(browser() for _ in range(5))), 0.55)
        assert 4 <= watch.asked["gate", 480] <= 6

    run(look())


def test_while_nobody_looks_nothing_is_asked() -> None:
    async def look() -> None:
        watch = FakeWatch(["gate"])
        watch.stalled["gate"] = 3
        relay = Relay(watch)
        await soon(relay.frame(GATE))
        looking = asyncio.create_task(relay.frame(GATE, after=3, pace=0))
        await asyncio.sleep(0.1)
        assert watch.pending == 1
        looking.cancel()
        await asyncio.sleep(0.1)
        assert watch.pending == 0
        assert watch.asked["gate", 480] == 2

    run(look())


def test_one_who_leaves_takes_no_frame_from_those_who_stay() -> None:
    async def look() -> None:
        watch = FakeWatch(["gate"])
        watch.stalled["gate"] = 3
        relay = Relay(watch)
        await soon(relay.frame(GATE))
        leaving, staying = (asyncio.create_task(relay.frame(GATE, after=3, pace=0)) for _ in range(2))
        await asyncio.sleep(0.05)
        leaving.cancel()
        watch.stalled["gate"] = 4
        frame = await soon(staying)
        assert frame is not None
        assert sequence(frame) == 4
        assert watch.asked["gate", 480] == 2

    run(look())


def test_one_who_comes_sees_the_frame_of_a_stalled_camera_at_once() -> None:
    async def look() -> None:
        watch = FakeWatch(["gate"])
        watch.stalled["gate"] = 3
        relay = Relay(watch)
        await soon(relay.frame(GATE))
        waiting = asyncio.create_task(relay.frame(GATE, after=3))
        await asyncio.sleep(0.05)
        frame = await asyncio.wait_for(relay.frame(GATE), 0.2)
        assert frame is not None
        assert sequence(frame) == 3
        waiting.cancel()

    run(look())


def test_a_camera_without_new_frames_has_none_after_a_while() -> None:
    async def look() -> None:
        watch = FakeWatch(["gate"])
        watch.stalled["gate"] = 3
        assert await soon(Relay(watch).frame(GATE, after=3, patience=0.1)) is None

    run(look())


def test_one_who_says_to_know_later_frames_keeps_nobody_waiting() -> None:
    async def look() -> None:
        watch = FakeWatch(["gate"])
        watch.stalled["gate"] = 3
        relay = Relay(watch)
        for frame in (3, 4):
            lying = asyncio.create_task(relay.frame(GATE, after=10**18, pace=0))
            await asyncio.sleep(0.05)
            waiting = asyncio.create_task(relay.frame(GATE, after=frame - 1, pace=0))
            watch.stalled["gate"] = frame
            found = await asyncio.wait_for(waiting, 1)
            assert found is not None
            assert sequence(found) == frame
            lying.cancel()

    run(look())


def test_a_watch_that_is_away_is_told_to_all_who_wait() -> None:
    async def look() -> None:
        watch = FakeWatch(["gate"])
        watch.away = True
        relay = Relay(watch)
        found = await asyncio.gather(*(relay.frame(GATE) for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in found] == [WatchAway] * 3
        watch.away = False
        assert await soon(relay.frame(GATE)) is not None

    run(look())


@pytest.mark.parametrize(("asked", "drawn"), [(1, 160), (160, 160), (161, 320), (700, 960), (4000, 1280)])
def test_widths_are_those_that_the_watch_draws(asked: int, drawn: int) -> None:
    assert fitting(asked) == drawn
