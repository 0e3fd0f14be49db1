"""Nodes of a cluster without one: each takes the leases of what it is told to watch, as soon as they are free."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from pipelines.cluster.node_desk import NodeCalls
from pipelines.cluster.node_facts import Assignment, NodeFacts


@dataclass
class FakeNode:
    """A node.

    Attributes:
        silent: whether it answers nothing, while it goes on.
        away: whether it cannot reach the store.
        slow: looks for which it loads scenes before it is ready.
    """

    name: str
    born: int = 1
    silent: bool = False
    away: bool = False
    slow: int = 0
    told: Assignment | None = None
    held: set[str] = field(default_factory=set)
    waited: dict[str, int] = field(default_factory=dict)
    fps: float | None = 100.0


class FakeFleet:
    """The nodes. `step` has them go on by a look each.

    Attributes:
        held: the node of each camera whose lease is held.
        unwatched: looks for which a camera that was watched before was not.
    """

    def __init__(self, *names: str) -> None:
        self.all = {name: FakeNode(name) for name in names}
        self.held: dict[str, str] = {}
        self.unwatched: dict[str, int] = {}
        self.restarted: list[str] = []
        self.ended: list[str] = []

    def step(self) -> None:
        before = set(self.held)
        for node in self.all.values():
            wanted = () if node.told is None else node.told.cameras
            for camera in [one for one in node.held if one not in wanted]:
                node.held.discard(camera)
                del self.held[camera]
        for node in self.all.values():
            for camera in () if node.told is None else node.told.cameras:
                node.waited[camera] = node.waited.get(camera, 0) + 1
                if self._is_ready(node, camera) and camera not in self.held and not node.away:
                    self.held[camera] = node.name
                    node.held.add(camera)
        for camera in before - set(self.held):
            self.unwatched[camera] = self.unwatched.get(camera, 0) + 1

    def _is_ready(self, node: FakeNode, camera: str) -> bool:
        return node.waited.get(camera, 0) > node.slow

    def cut_off(self, *names: str) -> None:
        """Nodes cannot reach the store, and their leases have run out."""
        for name in names:
            node = self.all[name]
            node.away = True
            for camera in node.held:
                del self.held[camera]
            node.held.clear()

    def kill(self, name: str) -> None:
        """A node is gone, and its leases have run out."""
        node = self.all.pop(name)
        for camera in node.held:
            del self.held[camera]

    def nodes(self) -> list[str]:
        return list(self.all)

    def call(self, node: str, method: str, *arguments: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        if not self.all[node].silent:
            answer.set_result(getattr(self, f"_{method}")(self.all[node], *arguments))
        return answer

    def _report(self, node: FakeNode, after: int) -> NodeFacts:
        told = node.told
        cameras = () if told is None else told.cameras
        return NodeFacts(
            node=node.name,
            born=str(node.born),
            told=0 if told is None else told.number,
            cameras=frozenset(cameras),
            ready=frozenset(camera for camera in cameras if self._is_ready(node, camera)),
            held=dict.fromkeys(node.held, 1),
            fps=node.fps,
            away=node.away,
        )

    def _assign(self, node: FakeNode, told: Assignment) -> int:
        if node.told is None or told.number > node.told.number:
            node.told = told
        return node.told.number

    def _stop(self, node: FakeNode) -> None:
        for camera in node.held:
            del self.held[camera]
        node.held.clear()
        node.told = None

    def calls(self, node: str) -> NodeCalls:
        raise NotImplementedError

    def restart(self, node: str) -> None:
        self.restarted.append(node)
        self._stop(self.all[node])
        self.all[node].born += 1
        self.all[node].waited.clear()

    def end(self, node: str) -> None:
        self.ended.append(node)
