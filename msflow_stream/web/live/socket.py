"""One browser on the live socket: the newest frame of each tile it shows, the next when that one was acknowledged."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from msflow_stream.watch.live_frames import WIDTHS
from msflow_stream.web.live.relay import LARGE_PACE, TILE_PACE, Relay, View, sequence
from msflow_stream.web.live.status import Status, changes, for_user
from msflow_stream.web.live.turns import Fit, Turns
from msflow_stream.web.watch_client import LiveFrame, WatchAway

TAKES = 30.0  # seconds in which a browser has to take what it was sent
AWAY = 1.0  # seconds until a watch that is away is tried again
CHECKED = 20.0  # seconds after which it is asked again what the person may see
MOST_TILES = 256
MOST_TEXT = 32 * 2**10  # characters of a message
STATUS = "*"  # acknowledges a status; no camera's name
POLICY, TRY_AGAIN = 1008, 1013  # codes of closing

Cameras = Callable[[], Awaitable[frozenset[str]]]  # that the person may see now


class Left(Exception):  # noqa: N818 - names what happened
    """A browser that is let go, with the code of closing."""

    def __init__(self, code: int) -> None:
        super().__init__(f"let go with {code}")
        self.code = code


@dataclass(slots=True)
class Tile:
    """A tile that a browser shows.

    Attributes:
        width: as it was asked for, one of WIDTHS.
        sent: when its last frame was sent, on the clock of time.monotonic.
        sequence: of that frame.
        acked: whether it was acknowledged.
    """

    camera: str
    width: int
    sent: float = 0.0
    sequence: int = -1
    acked: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Viewer:
    """A browser, from its coming to its going.

    Args:
        socket: the WebSocket, not yet accepted.
        relay, status: where frames and states come from.
        cameras: returns the names of those that the person may see.
        checked: seconds after which `cameras` is asked again.
        takes: seconds in which the browser has to take what it was sent.
    """

    def __init__(
        self,
        socket: WebSocket,
        relay: Relay,
        status: Status,
        cameras: Cameras,
        checked: float | None = None,
        takes: float = TAKES,
    ) -> None:
        self._socket, self._relay, self._status = socket, relay, status
        self._cameras, self._checked, self._takes = cameras, checked or CHECKED, takes
        self._tiles: dict[str, Tile] = {}
        self._turns, self._fit = Turns(), Fit()
        self._watching, self._status_acked = asyncio.Event(), asyncio.Event()
        self._seen: frozenset[str] = frozenset()
        self._tasks: set[asyncio.Task[None]] = set()
        self._end: asyncio.Future[None]

    async def run(self) -> None:
        """Serves the browser until it goes, or is let go."""
        await self._socket.accept()
        self._end = asyncio.get_running_loop().create_future()
        for work in (self._receive(), self._tell(), self._check()):
            self._start(work)
        try:
            await self._end
        except WebSocketDisconnect:
            pass
        except Left as left:
            with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):  # it went by itself
                await asyncio.wait_for(self._socket.close(left.code), self._takes)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Has work go on beside the rest; an error in it ends all."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._end.done():
            self._end.set_exception(error)

    async def _receive(self) -> None:
        while True:
            text = await self._socket.receive_text()
            try:
                message = json.loads(text) if len(text) <= MOST_TEXT else None
            except (ValueError, RecursionError):
                message = None
            if not isinstance(message, dict):
                raise Left(POLICY)
            if "watch" in message:
                await self._watch(message["watch"])
            if message.get("ack") == STATUS:
                self._status_acked.set()
            elif isinstance(name := message.get("ack"), str) and name in self._tiles:
                self._tiles[name].acked.set()

    async def _watch(self, wanted: object) -> None:
        """Shows these tiles from now on, and no others."""
        if not isinstance(wanted, dict) or len(wanted) > MOST_TILES:
            raise Left(POLICY)
        self._seen = await self._cameras()
        asked = {name: width for name, width in wanted.items() if name in self._seen and width in WIDTHS}
        for name in self._tiles.keys() - asked.keys():
            self._drop(name)
        for name, width in asked.items():
            tile = self._tiles.setdefault(name, Tile(name, width))
            tile.width = width
            if tile.task is None:
                tile.task = self._start(self._show(tile))
        if self._tiles:
            self._watching.set()
        else:
            self._watching.clear()  # nothing is seen, so nothing is told

    def _drop(self, name: str) -> None:
        task = self._tiles.pop(name).task
        if task is not None:
            task.cancel()

    @property
    def _pace(self) -> float:
        """Seconds from one frame of a tile to the next; a camera alone is shown more often."""
        return LARGE_PACE if len(self._tiles) == 1 else TILE_PACE

    async def _show(self, tile: Tile) -> None:
        """Sends a tile's frames, each when the one before was acknowledged."""
        while True:
            await asyncio.sleep(tile.sent + self._pace - time.monotonic())
            try:
                frame = await self._relay.frame(self._view(tile), tile.sequence, self._pace)
                if frame is not None:
                    await self._send(tile, frame)
            except WatchAway:
                await asyncio.sleep(AWAY)

    async def _send(self, tile: Tile, frame: LiveFrame) -> None:
        """Sends a frame, or a newer one where the turn to send comes late."""
        ready, view = time.monotonic(), self._view(tile)
        async with self._turns.turn(tile.sent):
            if time.monotonic() - ready > self._pace or view != self._view(tile):
                frame = await self._relay.frame(self._view(tile), tile.sequence, self._pace, 0) or frame
            tile.sent, tile.sequence = time.monotonic(), sequence(frame)
            tile.acked.clear()
            await self._take(self._socket.send_bytes(packed(tile.camera, frame)), tile.acked)
            now = time.monotonic()
            self._turns.note(now - tile.sent)
            self._fit.note(now - ready, tile.width)

    def _view(self, tile: Tile) -> View:
        return View(tile.camera, self._fit.width(tile.width))

    async def _tell(self) -> None:
        """Tells once a second how the cameras are that differ from what was told, while some are shown."""
        told: dict[str, Any] = {}
        while True:
            await self._watching.wait()
            began = time.monotonic()
            status = for_user(await self._status.now(), self._seen.__contains__)
            message = {"watch": status["watch"], "cameras": changes(status, told)}
            self._status_acked.clear()
            await self._take(self._socket.send_text(json.dumps(message)), self._status_acked)
            told = {one["name"]: one for one in status["cameras"]}
            await asyncio.sleep(began + 1 - time.monotonic())

    async def _check(self) -> None:
        """Lets tiles go that the person may no longer see.

        And sends something, even where nothing is shown: what is sent to who is signed out ends the connection.
        """
        while True:
            await asyncio.sleep(self._checked)
            self._seen = await self._cameras()
            for name in self._tiles.keys() - self._seen:
                self._drop(name)
            await self._take(self._socket.send_text("{}"))

    async def _take(self, sending: Awaitable[None], acked: asyncio.Event | None = None) -> None:
        """Sends, and waits until the browser says that it has it, where it is to say so.

        Raises:
            Left: it takes too long.
        """
        try:
            async with asyncio.timeout(self._takes):
                await sending
                if acked is not None:
                    await acked.wait()
        except TimeoutError:
            raise Left(TRY_AGAIN) from None


def packed(camera: str, frame: LiveFrame) -> bytes:
    """Returns a frame as it goes to a browser: the length of the facts, uint32, the facts as JSON, and the JPEG."""
    facts = json.dumps({**facts_of(frame), "camera": camera}).encode()
    return struct.pack(">I", len(facts)) + facts + frame.jpeg


def facts_of(frame: LiveFrame) -> Mapping[str, Any]:
    """Returns a frame's facts with its age in seconds by the clock here, None where it is not known."""
    wall = frame.facts.get("wall")
    age = None if wall is None else (datetime.now(UTC) - datetime.fromisoformat(wall)).total_seconds()
    return {**frame.facts, "age": age}
