from __future__ import annotations

import asyncio

import pytest

from msflow_stream.web.live import turns
from msflow_stream.web.live.turns import FIRST, MOST, Fit, Turns
from tests.support.virtual_time import run


def test_the_tile_that_was_shown_longest_ago_is_next() -> None:
    async def work() -> list[float]:
        queue, order = Turns(), []
        queue.size = 1

        async def tile(shown: float) -> None:
            async with queue.turn(shown):
                order.append(shown)
                await asyncio.sleep(0)

        await asyncio.gather(*(tile(shown) for shown in (5.0, 3.0, 9.0, 1.0)))
        return order

    assert run(work()) == [5.0, 1.0, 3.0, 9.0]


def test_no_more_are_under_way_than_a_browser_takes() -> None:
    async def work() -> int:
        queue, under_way, most = Turns(), 0, 0

        async def tile() -> None:
            nonlocal under_way, most
            async with queue.turn(0.0):
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(0)
                under_way -= 1

        await asyncio.gather(*(tile() for _ in range(20)))
        return most

    assert run(work()) == FIRST


def test_who_leaves_while_waiting_keeps_nobody_from_their_turn() -> None:
    async def work() -> None:
        queue = Turns()
        queue.size = 1
        async with queue.turn(0.0):
            waiting = [asyncio.create_task(hold(queue)) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
        await asyncio.wait_for(asyncio.gather(*waiting[1:]), 1)
        await asyncio.wait_for(hold(queue), 1)

    run(work())


async def hold(queue: Turns) -> None:
    async with queue.turn(0.0):
        await asyncio.sleep(0)


def test_a_slow_line_has_few_frames_under_way_and_a_quick_one_many() -> None:
    queue = Turns()
    for _ in range(5):
        queue.note(2.0)
    assert queue.size == 1
    for _ in range(100):
        queue.note(0.05)
    assert queue.size == MOST


def test_frames_that_come_late_become_narrower_and_wider_again_when_there_is_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "TRIAL", 0.0)
    fit = Fit()
    assert fit.width(480) == 480
    for _ in range(20):
        fit.note(3.0, 480)
    assert fit.width(480) == 160
    for _ in range(20):
        fit.note(0.01, 480)
    assert fit.width(480) == 480
