"""What the console asks of a watch on many nodes: frames and alerts, from the nodes that have them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Protocol

from msflow_stream.types import UserError
from msflow_stream.watch.live_frames import ShownFrame

LOOK_EVERY = 0.25  # seconds between looks whether nobody is to wait any longer, or the camera is elsewhere
PATIENCE = 5.0  # seconds for an answer, beyond those that are asked for


class NodeAway(Exception):  # noqa: N818 - names the state that passes
    """A node does not answer, or has not begun yet."""


class NodeCalls(Protocol):
    """What may be asked of a node; all raise NodeAway."""

    async def frame(self, camera: str, width: int, after: int, seconds: float, plain: bool) -> ShownFrame | None:
        """Returns what `LiveFrames.shown` does there; KeyError where it does not watch the camera."""

    def test_alert(self, name: str) -> None:
        """Sends a test by an alert; UserError as `EventRouter.test`."""

    def retry_dead(self, name: str) -> int:
        """Queues dead letters again, and returns their number; UserError as `EventRouter.retry_dead`."""


NodesNow = Callable[[], Mapping[str, NodeCalls]]  # by name, those that answer; called from several threads


class NodeFrames:
    """The newest frames of cameras, each from the node that watches it now.

    Args:
        node_of: returns the node of a camera, None for none; KeyError where there is no such camera.
        nodes: returns those that may be asked.
    """

    def __init__(self, node_of: Callable[[str], str | None], nodes: NodesNow) -> None:
        self._node_of, self._nodes = node_of, nodes
        self._closed = threading.Event()

    async def shown(self, name: str, width: int, after: int, seconds: float, plain: bool) -> ShownFrame | None:
        """Returns a camera's newest frame, None where none is newer than `after` within so many seconds.

        Raises:
            KeyError: there is no such camera.
        """
        end = monotonic() + seconds
        while not self._closed.is_set():
            node = self._node_of(name)
            calls = None if node is None else self._nodes().get(node)
            left = max(0.0, end - monotonic())
            if node is not None and calls is not None:
                asking = asyncio.ensure_future(calls.frame(name, width, after, left, plain))
                if (found := await self._answer(asking, name, node, left + PATIENCE)) is not None:
                    return found
            if monotonic() >= end:
                return None
            await asyncio.sleep(min(LOOK_EVERY, max(0.0, end - monotonic())))
        return None

    async def _answer(
        self, asking: asyncio.Future[ShownFrame | None], name: str, node: str, seconds: float
    ) -> ShownFrame | None:
        """Returns the answer of a node; None once the camera is not there any more, or nobody is to wait."""
        end = monotonic() + seconds
        try:
            while not (self._closed.is_set() or self._node_of(name) != node or monotonic() >= end):
                done, _ = await asyncio.wait({asking}, timeout=LOOK_EVERY)
                if done:
                    return asking.result()
        except (NodeAway, KeyError):  # the node is gone, or has not begun with the camera
            self._node_of(name)  # KeyError where it was removed meanwhile
        finally:
            asking.cancel()
        return None

    def close(self) -> None:
        """Has nobody wait any longer."""
        self._closed.set()


class NodeAlerts:
    """The alerts of all nodes: each has the same ones, with queues of its own."""

    def __init__(self, nodes: NodesNow) -> None:
        self._nodes = nodes

    def test(self, name: str) -> None:
        """Sends a message about an event that is plainly a test, from one of the nodes.

        Raises:
            UserError: it did not arrive, or no node answers.
        """
        for node in self._nodes().values():
            try:
                return node.test_alert(name)
            except NodeAway:
                continue
        raise UserError("no node answers; the log says why")

    def retry_dead(self, name: str) -> int:
        """Queues dead letters again, on all nodes that answer, and returns their number.

        Raises:
            UserError: they are not, or no node answers.
        """
        queued, refused = [], None
        for node in self._nodes().values():
            try:
                queued.append(node.retry_dead(name))
            except NodeAway:
                continue
            except UserError as error:  # one whose dead letters cannot be read keeps nobody else's
                refused = error
        if refused is not None and not any(queued):
            raise refused
        if not queued:
            raise UserError("no node answers; the log says why")
        return sum(queued)
