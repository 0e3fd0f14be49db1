from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from msflow_stream.web.live.relay import Relay
from msflow_stream.web.live.socket import POLICY, TRY_AGAIN, Viewer
from msflow_stream.web.live.status import Status
from tests.support.fake_watch import FakeWatch
from tests.support.virtual_time import run

NINE = [f"camera-{number}" for number in range(9)]


class Browser:
    """A browser on the other end of a socket; its line carries `rate` bytes a second.

    Attributes:
        shown: per camera, the times at which it had a new frame, that frame's facts, and its bytes.
        told: the status messages.
        code: of closing, None while it is open.
    """

    def __init__(self, rate: float | None = None, acknowledges: bool = True) -> None:
        self.rate, self.acknowledges = rate, acknowledges
        self.shown: dict[str, list[tuple[float, dict[str, Any], int]]] = {}
        self.told: list[dict[str, Any]] = []
        self.code: int | None = None
        self._inbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._line: asyncio.Queue[tuple[str, dict[str, Any], int]] = asyncio.Queue()
        self.most_under_way = self._under_way = 0

    def watch(self, *names: str, width: int = 480) -> None:
        self.say({"watch": dict.fromkeys(names, width)})

    def say(self, message: Any) -> None:
        self._inbox.put_nowait(json.dumps(message))

    def leave(self) -> None:
        self._inbox.put_nowait(None)

    async def accept(self) -> None: ...

    async def receive_text(self) -> str:
        text = await self._inbox.get()
        if text is None:
            raise WebSocketDisconnect(1001)
        return text

    async def send_text(self, text: str) -> None:
        if text == "{}":  # a sign of life
            return
        self._put("*", json.loads(text), len(text))

    async def send_bytes(self, message: bytes) -> None:
        (length,) = struct.unpack(">I", message[:4])
        facts = json.loads(message[4 : 4 + length])
        assert message[4 + length :][:2] == b"\xff\xd8"
        self._put(facts["camera"], facts, len(message))

    async def close(self, code: int) -> None:
        self.code = code

    def _put(self, name: str, values: dict[str, Any], size: int) -> None:
        self._under_way += size
        self.most_under_way = max(self.most_under_way, self._under_way)
        self._line.put_nowait((name, values, size))

    async def take(self) -> None:
        """Takes what comes, as fast as the line is."""
        while True:
            name, values, size = await self._line.get()
            if self.rate is not None:
                await asyncio.sleep(size / self.rate)
            self._under_way -= size
            if name == "*":
                self.told.append(values)
            else:
                self.shown.setdefault(name, []).append((time.monotonic(), values, size))
            if self.acknowledges:
                self.say({"ack": name})

    def longest_gap(self, since: float) -> float:
        """Longest time that a camera's tile was not repainted."""
        times = [[at for at, *_ in one if at >= since] for one in self.shown.values()]
        return max(b - a for one in times for a, b in pairwise(one))


class Console:
    """The relay and the status over a fake watch, and viewers of it."""

    def __init__(self, watch: FakeWatch) -> None:
        self.watch, self.seen = watch, frozenset(watch.cameras)
        self.relay = Relay(watch)
        self.status = Status(watch, lambda: watch.cameras, lambda names: {})

    async def cameras(self) -> frozenset[str]:
        return self.seen

    def open(self, browser: Browser, **options: float) -> asyncio.Task[None]:
        async def both() -> None:
            taking = asyncio.create_task(browser.take())
            await Viewer(browser, self.relay, self.status, self.cameras, **options).run()  # type: ignore[arg-type]
            taking.cancel()

        return asyncio.create_task(both())


def looking(work: Callable[[Console], Coroutine[Any, Any, None]], **watch: Any) -> None:
    async def whole() -> None:
        console = Console(FakeWatch(NINE, **watch))
        await work(console)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    run(whole())


def test_each_tile_shows_a_newer_frame_about_once_a_second() -> None:
    async def work(console: Console) -> None:
        browser = Browser()
        console.open(browser)
        browser.watch(*NINE)
        await asyncio.sleep(2.4)
        assert set(browser.shown) == set(NINE)
        for frames in browser.shown.values():
            numbers = [facts["sequence"] for _, facts, _ in frames]
            assert len(numbers) == 3
            assert numbers == sorted(set(numbers))
        assert set(console.watch.asked.values()) <= {3, 4}

    looking(work)


def test_a_camera_alone_is_shown_up_to_four_times_a_second() -> None:
    async def work(console: Console) -> None:
        browser = Browser()
        console.open(browser)
        browser.watch("camera-3", width=960)
        await asyncio.sleep(1.1)
        assert 4 <= len(browser.shown["camera-3"]) <= 5

    looking(work, interval=0.05)


def test_no_frame_is_sent_before_the_last_one_was_acknowledged_and_then_the_newest() -> None:
    async def work(console: Console) -> None:
        browser = Browser(acknowledges=False)
        console.open(browser)
        browser.watch("camera-0")
        await asyncio.sleep(0.8)
        assert len(browser.shown["camera-0"]) == 1
        browser.say({"ack": "camera-0"})
        await asyncio.sleep(0.2)
        _, facts, _ = browser.shown["camera-0"][1]
        assert facts["sequence"] >= console.watch.sequence("camera-0") - 6

    looking(work, interval=0.05)


def test_a_slow_browser_delays_no_other_and_shows_all_its_tiles_in_turn() -> None:
    async def work(console: Console) -> None:
        fast, slow = Browser(), Browser(rate=50_000)
        console.open(fast)
        console.open(slow)
        fast.watch(*NINE)
        slow.watch(*NINE)
        began = time.monotonic()
        await asyncio.sleep(7)
        assert fast.longest_gap(began) < 1.6
        assert set(slow.shown) == set(NINE)
        late = {name: [one for one in frames if one[0] > began + 4] for name, frames in slow.shown.items()}
        assert all(late.values()), "a tile is left behind"
        narrow = [size for frames in late.values() for *_, size in frames]
        assert max(narrow) < 20_000, "frames are as wide as for a fast browser"
        ages = [at - began for frames in late.values() for at, *_ in frames]
        assert len(ages) > 9
        assert slow.most_under_way < 250_000

    looking(work)


def test_a_browser_that_shows_nothing_costs_nothing() -> None:
    async def work(console: Console) -> None:
        browser = Browser()
        console.open(browser)
        browser.watch(*NINE)
        await asyncio.sleep(0.3)
        browser.watch()
        await asyncio.sleep(0.2)
        before = console.watch.asked.total(), console.watch.reports, len(browser.told)
        await asyncio.sleep(1.5)
        assert (console.watch.asked.total(), console.watch.reports, len(browser.told)) == before
        assert console.watch.pending == 0

    looking(work)


def test_two_browsers_cost_the_watch_no_more_than_one() -> None:
    async def work(console: Console) -> None:
        browsers = [Browser(), Browser(), Browser()]
        for one in browsers:
            console.open(one)
            one.watch(*NINE)
            await asyncio.sleep(0.2)
        await asyncio.sleep(2)
        assert max(console.watch.asked.values()) <= 4
        assert console.watch.reports <= 4

    looking(work)


def test_only_cameras_that_the_person_may_see_are_shown_and_told() -> None:
    async def work(console: Console) -> None:
        console.seen = frozenset({"camera-1"})
        browser = Browser()
        console.open(browser, checked=0.3)
        browser.watch("camera-1", "camera-2", "../camera-3")
        await asyncio.sleep(0.2)
        assert set(browser.shown) == {"camera-1"}
        assert {one["name"] for message in browser.told for one in message["cameras"]} == {"camera-1"}
        console.seen = frozenset()
        await asyncio.sleep(0.4)
        shown = len(browser.shown["camera-1"])
        await asyncio.sleep(1)
        assert len(browser.shown["camera-1"]) == shown

    looking(work)


def test_a_browser_that_takes_nothing_is_let_go() -> None:
    async def work(console: Console) -> None:
        browser = Browser(acknowledges=False)
        task = console.open(browser, takes=0.3)
        browser.watch("camera-1")
        await asyncio.wait_for(task, 1)
        assert browser.code == TRY_AGAIN

    looking(work)


def test_a_browser_that_leaves_leaves_no_request_behind() -> None:
    async def work(console: Console) -> None:
        console.watch.stalled = dict.fromkeys(NINE, 2)
        browser = Browser()
        task = console.open(browser)
        browser.watch(*NINE)
        await asyncio.sleep(1.3)
        assert console.watch.pending == 9
        browser.leave()
        await asyncio.wait_for(task, 1)
        await asyncio.sleep(0.05)
        assert console.watch.pending == 0

    looking(work)


def test_a_watch_that_comes_back_is_shown_again() -> None:
    async def work(console: Console) -> None:
        console.watch.away = True
        browser = Browser()
        console.open(browser)
        browser.watch("camera-1")
        await asyncio.sleep(0.2)
        assert browser.told[0]["watch"] == "away"
        assert [one["state"] for one in browser.told[0]["cameras"]] == [None] * 9
        console.watch.away = False
        await asyncio.sleep(2.2)
        assert browser.shown["camera-1"]
        assert browser.told[-1]["watch"] == "running"

    looking(work)


@pytest.mark.parametrize(
    "message", ["hello", [], {"watch": ["gate"]}, {"watch": {str(n): 480 for n in range(300)}}, {"x": "x" * 40_000}]
)
def test_what_is_no_message_ends_the_socket(message: Any) -> None:
    async def work(console: Console) -> None:
        browser = Browser()
        task = console.open(browser)
        browser.say(message)
        await asyncio.wait_for(task, 1)
        assert browser.code == POLICY

    looking(work)


def test_what_is_acknowledged_without_being_shown_is_no_matter() -> None:
    async def work(console: Console) -> None:
        browser = Browser()
        task = console.open(browser)
        for strange in ("camera-8", 7, None, ["*"]):
            browser.say({"ack": strange})
        browser.say({"watch": {"camera-1": 481, "camera-2": "480", "camera-3": True, "camera-4": [480]}})
        await asyncio.sleep(0.2)
        assert not task.done()
        assert not browser.shown

    looking(work)


def test_the_first_page_after_a_start_has_all_cameras_though_no_report_came_yet() -> None:
    async def work(console: Console) -> None:
        console.watch.report = never  # type: ignore[method-assign]
        status = await console.status.soon()
        assert status["watch"] == "unknown"
        assert [one["name"] for one in status["cameras"]] == NINE

    async def never() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    looking(work)
