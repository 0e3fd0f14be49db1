"""What a watch answers its console, over a real socket, and how the console finds it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import stat
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import pytest

from msflow_stream.events.alerts.delivery import AlertReport
from msflow_stream.logs import LogLines, Redactor
from msflow_stream.types import UserError
from msflow_stream.watch.live_frames import LiveFrames
from msflow_stream.watch.report import WatchReport
from msflow_stream.web.server import WebServer
from msflow_stream.web.watch_app import WatchDesk, private_app
from msflow_stream.web.watch_client import WatchAway, WatchClient
from msflow_stream.web.watch_record import WatchRecord, socket_path
from tests.watch.outputs.scored import STYLE, scored
from tests.web.reports import HOSTILE, SECRET, alarmed, dark, report, running, unreachable

T = TypeVar("T")
SOON = 10.0  # seconds


@dataclass
class Orders:
    """What was asked of a watch, and what it answers."""

    mistake: str | None = None
    asked: list[str] = field(default_factory=list)

    def reload(self) -> None:
        self._note("reload")

    def test(self, name: str) -> None:
        self._note(f"test {name}")

    def retry_dead(self, name: str) -> int:
        self._note(f"retry {name}")
        return 3

    def _note(self, order: str) -> None:
        self.asked.append(order)
        if self.mistake is not None:
            raise UserError(self.mistake)


class Desk:
    """A watch as far as its console knows it. A context manager."""

    def __init__(self, out: Path, now: Callable[[], WatchReport]) -> None:
        self.out, self.orders, self.frames = out, Orders(), LiveFrames()
        self.log = LogLines(Redactor([SECRET]))
        self._app = private_app(
            WatchDesk(
                report=now,
                alive=lambda: None,
                out=out,
                frames=self.frames,
                log=self.log,
                reload=self.orders.reload,
                alerts=self.orders,
            )
        )

    def __enter__(self) -> Desk:
        self._path = socket_path(self.out)
        path = self._path.__enter__()
        self._server = WebServer(self._app, path)
        self._server.start()
        values = {"cameras": "/c.yaml", "scenes": "/scenes", "started": "2026-03-01T06:00:00+00:00", "http": None}
        WatchRecord(pid=os.getpid(), socket=str(path), **values).write(self.out)  # type: ignore[arg-type]
        return self

    def __exit__(self, *_: object) -> None:
        self.frames.close()
        self._server.close()
        self._path.__exit__(None, None, None)


def asked(out: Path, ask: Callable[[WatchClient], Awaitable[T]]) -> T:
    async def answer() -> T:
        client = WatchClient(out)
        try:
            return await ask(client)
        finally:
            await client.aclose()

    return asyncio.run(answer())


def of_all_sorts() -> WatchReport:
    one = report(running(HOSTILE), unreachable(), dark(), alarmed())
    alerts = {"hook": AlertReport(5, 2, 1, 3, "the server answers 503", 4, "webhook")}
    return WatchReport(one.cameras, one.stream, one.started, one.device, one.device_bytes, 5, 1, alerts)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path, of_all_sorts) as one:
        yield one


def test_the_report_says_how_everything_is(desk: Desk) -> None:
    values = asked(desk.out, WatchClient.report)
    assert (values["device"], values["reloads"], values["failed_reloads"]) == ("cuda:0", 5, 1)
    assert values["started"] == "2026-03-01T06:00:00+00:00"
    assert (values["healthy"], values["ready"]) == ([], [])
    assert values["batches"] == {"1": 1, "3": 1, "4": 2, "16": 1, "300": 1}
    assert values["stages"]["scoring"]["count"] == 5
    first, away, *_ = values["cameras"]
    assert (first["name"], first["state"], first["codec"], first["rate"]) == (HOSTILE, "running", "h264", 25.0)
    assert first["dropped"] == {"newer frame": 12, "source failed": 1}
    assert first["lost"] == {"recorder:disk": 3, "preview:slow: disk": 4}
    assert first["last"]["scores"] == {
        "paper": 3.5, "surprise": 0.1, "surprise_mean": -1.25, "motion": None, "combined": None,
    }  # fmt: skip
    assert (away["last"], away["width"], away["last_wall"], away["event"]) == (None, None, None, None)
    assert values["alerts"]["hook"] == {
        "delivered": 5, "retried": 2, "given_up": 1, "waiting": 3, "last_error": "the server answers 503",
        "dead": 4, "sink": "webhook",
    }  # fmt: skip
    assert 0 < values["disk"]["free_bytes"] <= values["disk"]["total_bytes"]
    assert SECRET not in json.dumps(values)


def test_frames_come_with_what_is_known_of_them(desk: Desk) -> None:
    camera = desk.frames.open(HOSTILE)
    camera.write(*scored(3, alarm=1), STYLE, "paper")

    async def look(client: WatchClient) -> None:
        frame = await client.frame(HOSTILE, 160)
        assert frame is not None
        assert frame.jpeg.startswith(b"\xff\xd8")
        assert (frame.facts["index"], frame.facts["alarm"]) == (3, True)
        assert await client.frame(HOSTILE, 160, frame.facts["sequence"], wait=0.05) is None
        with pytest.raises(KeyError):
            await client.frame("../gate", 160)

    asked(desk.out, look)


@pytest.mark.parametrize("query", ["width=161", "width=x", "after=x&width=160", "wait=x&width=160", ""])
def test_a_wrong_question_is_answered_with_what_is_right(desk: Desk, query: str) -> None:
    desk.frames.open("gate")
    response = asked(desk.out, lambda client: client._ask("GET", f"/frames/gate?{query}"))
    assert response.status_code == 400
    assert "width" in response.json()["error"]


def test_the_log_of_the_last_hour_hides_secrets(desk: Desk) -> None:
    with desk.log:
        logging.getLogger("msflow_stream.x").warning("the password is %s", SECRET)
        try:
            raise ValueError(SECRET)
        except ValueError:
            logging.getLogger("msflow_stream.x").exception("failed")
    logging.getLogger("msflow_stream.x").warning("after the end")
    first, second = asked(desk.out, WatchClient.log)
    assert (first["level"], first["logger"], first["text"]) == ("WARNING", "msflow_stream.x", "the password is ***")
    assert first["time"].endswith("+00:00")
    assert "Traceback" in second["text"]
    assert SECRET not in second["text"]


def test_the_log_is_bounded_by_age_and_number() -> None:
    lines = LogLines(Redactor(), seconds=3600, most=3)
    record = logging.LogRecord("x", logging.INFO, "", 0, "old", None, None)
    record.created -= 3601
    lines.handle(record)
    assert lines.lines() == []
    for number in range(5):
        lines.handle(logging.LogRecord("x", logging.INFO, "", 0, f"{number}", None, None))
    assert [line["text"] for line in lines.lines()] == ["2", "3", "4"]


def test_orders_are_done_or_say_why_not(desk: Desk) -> None:
    assert asked(desk.out, lambda client: client.test_alert("hook")) == "the receiver has taken the test message"
    assert asked(desk.out, lambda client: client.retry_alert("hook")) == 3
    asked(desk.out, WatchClient.reload)
    assert desk.orders.asked == ["test hook", "retry hook", "reload"]
    desk.orders.mistake = "there is no scene 'gat'"
    for order in (WatchClient.reload, lambda client: client.test_alert("x"), lambda client: client.retry_alert("x")):
        with pytest.raises(UserError, match="there is no scene 'gat'"):
            asked(desk.out, order)


def test_only_this_user_can_reach_it(desk: Desk) -> None:
    path = Path(json.loads((desk.out / ".watch.json").read_text())["socket"])
    assert path == desk.out / ".watch.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_watch_everything_says_so(tmp_path: Path) -> None:
    assert WatchClient(tmp_path).record() is None
    with pytest.raises(WatchAway, match="no watch has written"):
        asked(tmp_path, WatchClient.report)
    with Desk(tmp_path, of_all_sorts):
        pass
    assert not (tmp_path / ".watch.sock").exists()
    record = WatchClient(tmp_path).record()
    assert record is not None, "it stays"
    assert record.cameras == "/c.yaml"
    for ask in (WatchClient.report, WatchClient.log, WatchClient.reload, lambda client: client.frame("gate", 160)):
        with pytest.raises(WatchAway):
            asked(tmp_path, ask)


def test_a_damaged_record_is_no_watch(tmp_path: Path) -> None:
    (tmp_path / ".watch.json").write_text('{"pid": 1')
    with pytest.raises(WatchAway, match="damaged"):
        asked(tmp_path, WatchClient.report)
    with pytest.raises(UserError, match="begin the watch again"):
        WatchClient(tmp_path).record()


def test_a_watch_that_begins_again_is_found(tmp_path: Path) -> None:
    async def look() -> None:
        client = WatchClient(tmp_path)
        for _ in range(2):
            with Desk(tmp_path, of_all_sorts):
                assert (await client.report())["device"] == "cuda:0"
            with pytest.raises(WatchAway):
                await client.report()
        await client.aclose()

    asyncio.run(look())


def test_the_socket_of_a_watch_that_was_killed_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / ".watch.sock"))
    with Desk(tmp_path, of_all_sorts):
        assert asked(tmp_path, WatchClient.report)


def test_a_folder_too_deep_for_a_socket_has_it_elsewhere(tmp_path: Path) -> None:
    out = tmp_path / ("deep" * 20) / ("deeper" * 10)
    out.mkdir(parents=True)
    with Desk(out, of_all_sorts):
        path = Path(json.loads((out / ".watch.json").read_text())["socket"])
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert asked(out, WatchClient.report)
    assert not path.parent.exists()


def test_the_end_does_not_wait_for_those_who_wait_for_frames(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.frames.open("gate")
    waiting, answers, newer = threading.Event(), [], desk.frames.newer

    def noted(*asked: Any) -> Any:
        waiting.set()
        return newer(*asked)

    monkeypatch.setattr(desk.frames, "newer", noted)

    def look() -> None:
        answers.append(asked(desk.out, lambda client: client.frame("gate", 160, wait=20)))

    thread = threading.Thread(target=look)
    thread.start()
    assert waiting.wait(SOON)
    begun = monotonic()
    desk.__exit__()
    thread.join(SOON)
    assert not thread.is_alive()
    assert answers == [None]
    assert monotonic() - begun < SOON
