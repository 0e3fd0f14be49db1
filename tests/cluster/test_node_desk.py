"""The console asks one process for frames, log and alerts, and gets them from the node that has them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import pytest

from msflow_stream.logs import LogLines, Redactor
from msflow_stream.types import UserError
from msflow_stream.watch.live_frames import LiveFrames, ShownFrame
from msflow_stream.watch.nodes import ClusterReport, NodeReport
from msflow_stream.web.server import WebServer
from msflow_stream.web.watch_app import WatchDesk, private_app
from msflow_stream.web.watch_client import WatchClient
from msflow_stream.web.watch_record import WatchRecord, socket_path
from pipelines.cluster.node_desk import NodeAlerts, NodeAway, NodeCalls, NodeFrames
from tests.watch.outputs.scored import STYLE, scored
from tests.web.reports import STARTED, report, running

T = TypeVar("T")
SOON = 10.0  # seconds, for what should take none


@dataclass
class FakeNode:
    """A node whose frames are numbers, and which may be away."""

    sequence: int = 0
    away: bool = False
    trouble: str | None = None
    asked: list[str] = field(default_factory=list)
    has: tuple[str, ...] = ("gate",)

    async def frame(self, camera: str, width: int, after: int, seconds: float, plain: bool) -> ShownFrame | None:
        self._check(f"frame {camera}")
        if camera not in self.has:
            raise KeyError(camera)
        while self.sequence <= after:
            await asyncio.sleep(0.005)
        return ShownFrame(b"\xff\xd8", {"sequence": self.sequence, "width": width, "plain": plain})

    def test_alert(self, name: str) -> None:
        self._check(f"test {name}")

    def retry_dead(self, name: str) -> int:
        self._check(f"retry {name}")
        return 3

    def _check(self, what: str) -> None:
        if self.away:
            raise NodeAway("gone")
        self.asked.append(what)
        if self.trouble is not None:
            raise UserError(self.trouble)


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, SOON))


def frames_of(nodes: dict[str, FakeNode], placed: dict[str, str | None]) -> NodeFrames:
    return NodeFrames(placed.__getitem__, lambda: {name: one for name, one in nodes.items() if not one.away})


def test_a_frame_comes_from_the_node_that_watches_the_camera() -> None:
    nodes = {"a": FakeNode(sequence=5), "b": FakeNode(sequence=7)}
    frames = frames_of(nodes, {"gate": "b"})
    shown = finished(frames.shown("gate", 320, 0, 1.0, True))
    assert shown is not None
    assert shown.facts == {"sequence": 7, "width": 320, "plain": True}
    assert nodes["a"].asked == []


def test_who_waits_for_a_frame_gets_that_of_the_node_the_camera_moved_to() -> None:
    nodes, placed = {"a": FakeNode(sequence=5), "b": FakeNode(sequence=9)}, {"gate": "a"}

    async def moved() -> ShownFrame | None:
        waiting = asyncio.create_task(frames_of(nodes, placed).shown("gate", 320, 5, 60.0, False))  # type: ignore[arg-type]
        await asyncio.sleep(0.02)
        placed["gate"] = "b"
        return await waiting

    shown = finished(moved())
    assert shown is not None
    assert shown.facts["sequence"] == 9


def test_a_node_that_dies_or_has_not_begun_costs_a_wait_and_no_error() -> None:
    nodes, placed = (
        {"a": FakeNode(sequence=5, has=()), "b": FakeNode(sequence=6, away=True)},
        {"gate": "a", "roof": "b"},
    )
    frames = frames_of(nodes, {**placed, "door": None})
    for name in ("gate", "roof", "door"):
        assert finished(frames.shown(name, 320, 0, 0.05, False)) is None

    async def begins() -> ShownFrame | None:
        waiting = asyncio.create_task(frames.shown("gate", 320, 0, 60.0, False))
        await asyncio.sleep(0.02)
        nodes["a"].has = ("gate",)
        return await waiting

    assert finished(begins()) is not None


def test_a_camera_that_there_is_not_is_a_key_error() -> None:
    frames = frames_of({}, {})
    with pytest.raises(KeyError):
        finished(frames.shown("../gate", 320, 0, 60.0, False))


def test_nobody_waits_for_a_frame_when_the_watch_ends() -> None:
    nodes = {"a": FakeNode(sequence=5)}
    frames = frames_of(nodes, {"gate": "a", "door": None})
    ending = threading.Timer(0.02, frames.close)
    ending.start()
    for name in ("gate", "door"):
        assert finished(frames.shown(name, 320, 5, 60.0, False)) is None


def test_a_test_of_an_alert_is_sent_once_and_dead_letters_are_those_of_all_nodes() -> None:
    nodes = {"a": FakeNode(away=True), "b": FakeNode(), "c": FakeNode()}
    alerts = NodeAlerts(lambda: nodes)
    alerts.test("hook")
    assert alerts.retry_dead("hook") == 6
    assert (nodes["b"].asked, nodes["c"].asked) == (["test hook", "retry hook"], ["retry hook"])


def test_an_alert_that_no_node_can_try_says_why() -> None:
    refusing = NodeAlerts(lambda: {"a": FakeNode(trouble="there is no alert 'hok'")})
    away = NodeAlerts(lambda: {"a": FakeNode(away=True)})
    for alerts, said in ((refusing, "there is no alert 'hok'"), (away, "no node answers")):
        for ask in (alerts.test, alerts.retry_dead):
            with pytest.raises(UserError, match=said):
                ask("hok")


class RealFrames(FakeNode):
    """A node with real frames."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = LiveFrames()

    async def frame(self, camera: str, width: int, after: int, seconds: float, plain: bool) -> ShownFrame | None:
        return await self.frames.shown(camera, width, after, seconds, plain)


def test_the_console_shows_all_cameras_and_the_frames_of_their_nodes(tmp_path: Path) -> None:
    answers = {"north": RealFrames(), "south": RealFrames()}
    placed = {"gate": "north", "roof": "south"}
    for index, (camera, node) in enumerate(placed.items()):
        answers[node].frames.open(camera).write(*scored(3 + index, alarm=0), STYLE, "paper")
    now = ClusterReport(
        nodes=[
            NodeReport(name=node, watch=report(running(camera, f"scene of {camera}")))
            for camera, node in placed.items()
        ],
        cameras={"gate": "yard", "roof": "yard", "new": "yard"},
        placed=placed,
        started=STARTED,
    )
    desk = WatchDesk(
        report=now.joined,
        alive=lambda: None,
        out=tmp_path,
        frames=NodeFrames({**placed, "new": None}.__getitem__, lambda: answers),
        log=LogLines(Redactor()),
        reload=lambda: None,
        alerts=NodeAlerts(lambda: answers),
        nodes=lambda: now,
    )

    async def look(client: WatchClient) -> None:
        values = await client.report()
        told = [(one["name"], one["node"], one["scene"]) for one in values["cameras"]]
        assert told == [("gate", "north", "scene of gate"), ("roof", "south", "scene of roof"), ("new", None, "yard")]
        for index, camera in enumerate(placed):
            frame = await client.frame(camera, 160)
            assert frame is not None
            assert frame.jpeg.startswith(b"\xff\xd8")
            assert frame.facts["index"] == 3 + index
        assert await client.frame("new", 160) is None
        with pytest.raises(KeyError):
            await client.frame("cellar", 160)
        assert await client.retry_alert("hook") == 6
        assert b'msflow_score{camera="gate",node="north"}' in (await client.health("/metrics")).body

    _asked(tmp_path, desk, look)


def _asked(out: Path, desk: WatchDesk, look: Callable[[WatchClient], Coroutine[Any, Any, None]]) -> None:
    async def ask() -> None:
        client = WatchClient(out)
        try:
            await look(client)
        finally:
            await client.aclose()

    with socket_path(out) as path, WebServer(private_app(desk), path):
        WatchRecord(
            pid=1, socket=str(path), cameras="/c", scenes="/s", started="2026-01-01T00:00:00Z", http=None
        ).write(out)
        asyncio.run(ask())


@pytest.mark.parametrize("name", ["frame", "test_alert", "retry_dead"])
def test_a_node_of_ray_takes_what_it_is_asked(name: str) -> None:
    pytest.importorskip("ray")
    from pipelines.cluster.watch_node import WatchNode

    assert signature(getattr(WatchNode, name)) == signature(getattr(NodeCalls, name))
