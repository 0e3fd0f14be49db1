"""The placement of cameras on nodes: by what each node can score and hold; nothing moves without a reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

SLACK = 0.2  # share by which a node may be busier than another one before anything moves
LEAST_GAIN = 0.05  # share by which the busier of two nodes gets less busy by a move that is worth it
MOVES = 2  # cameras that are moved at a time, for a node that is busy
SETTLED = 10.0  # seconds that a node has been there before cameras are moved to it
UNMEASURED = 25.0  # frames/s of a node whose scorer is not measured yet, where none is


@dataclass(frozen=True, slots=True)
class Load:
    """What a camera asks of a node.

    Attributes:
        fps: frames to be scored per second.
        scenes: bytes of each scene that it needs, by name; cameras of one node share them.
    """

    fps: float
    scenes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a node has to give.

    Attributes:
        fps: frames per second that its scorer sustains; None where that is not measured yet.
        memory: bytes for scenes; None where that is not known.
        since: when it joined, by the clock that `placed` is asked by.
        leaving: whether it is to be emptied.
    """

    fps: float | None = None
    memory: int | None = None
    since: float = 0.0
    leaving: bool = False


def placed(
    cameras: Mapping[str, Load],
    nodes: Mapping[str, Capacity],
    before: Mapping[str, str],
    now: float,
    fixed: Collection[str] = (),
    moves: int = MOVES,
) -> dict[str, str]:
    """Returns the node of each camera; empty where there are no nodes.

    A camera stays where it was while that node is there. One whose node is gone, or is leaving, goes to the node that
    is then the least busy, measured by its own capacity, and has the memory. Besides, a few cameras at a time are moved
    from a node that is much busier than another: so one that comes back gets its share without a storm. Where there is
    too much for all nodes, all are equally too busy: newest frames win, as on one machine.

    Args:
        cameras: what they ask for, in the order in which they are placed.
        nodes: what they have.
        before: where the cameras were.
        now: seconds on a clock.
        fixed: cameras that are on their way already, and are not moved again before they have arrived.
        moves: cameras that may be moved at a time only because a node is busy.
    """
    staying = {name: node for name, node in nodes.items() if not node.leaving} or dict(nodes)
    if not staying:
        return {}
    plan = _Plan(cameras, nodes)
    for camera in cameras:
        if before.get(camera) in staying:
            plan.put(camera, before[camera])
    for camera in sorted((one for one in cameras if one not in plan.of), key=lambda one: -cameras[one].fps):
        plan.put(camera, plan.best(camera, staying))
    settled = {name for name, node in staying.items() if now - node.since >= SETTLED}
    for _ in range(moves):
        if not plan.even_out(settled, fixed):
            break
    return {camera: plan.of[camera] for camera in cameras}


class _Plan:
    """The cameras as they are placed so far."""

    def __init__(self, cameras: Mapping[str, Load], nodes: Mapping[str, Capacity]) -> None:
        known = [node.fps for node in nodes.values() if node.fps]
        usual = sum(known) / len(known) if known else UNMEASURED  # one that is not measured is as the others are
        self._cameras, self._nodes = cameras, nodes
        self._fps = {name: node.fps or usual for name, node in nodes.items()}
        self._on: dict[str, list[str]] = {name: [] for name in nodes}
        self.of: dict[str, str] = {}

    def put(self, camera: str, node: str) -> None:
        """Places a camera, or moves it."""
        if camera in self.of:
            self._on[self.of[camera]].remove(camera)
        self._on[node].append(camera)
        self.of[camera] = node

    def best(self, camera: str, among: Collection[str]) -> str:
        """Returns the node that would be the least busy with the camera, of those that have the memory if any has.

        A scene that is not there yet counts by its share of the memory: where that is short, cameras of one scene
        stay together.
        """
        return min(among, key=lambda node: (not self._fits(camera, node), self._cost(camera, node), node))

    def _cost(self, camera: str, node: str) -> float:
        memory, held = self._nodes[node].memory, self._held(node)
        new = sum(size for name, size in self._cameras[camera].scenes.items() if name not in held)
        return self._busy_with(camera, node) + (new / memory if memory else 0.0)

    def even_out(self, among: Collection[str], fixed: Collection[str]) -> bool:
        """Moves a camera from the busiest node to the least busy one; False where that is not worth it."""
        if len(among) < 2:
            return False
        busiest = max(among, key=lambda node: (self._busy(node), node))
        free = min(among, key=lambda node: (self._busy(node), node))
        most, least = self._busy(busiest), self._busy(free)
        if most - least <= SLACK * most:
            return False
        fitting = [
            camera
            for camera in self._on[busiest]
            if camera not in fixed and self._fits(camera, free) and self._busy_with(camera, free) < most
        ]
        # The one after which the busier of the two is the least busy.
        gain, camera = max(
            ((most - max(self._busy_without(one, busiest), self._busy_with(one, free)), one) for one in fitting),
            default=(0.0, ""),
        )
        if gain <= LEAST_GAIN * most:
            return False
        self.put(camera, free)
        return True

    def _busy(self, node: str) -> float:
        return sum(self._cameras[one].fps for one in self._on[node]) / self._fps[node]

    def _busy_with(self, camera: str, node: str) -> float:
        return self._busy(node) + self._cameras[camera].fps / self._fps[node]

    def _busy_without(self, camera: str, node: str) -> float:
        return self._busy(node) - self._cameras[camera].fps / self._fps[node]

    def _fits(self, camera: str, node: str) -> bool:
        memory = self._nodes[node].memory
        return memory is None or sum({**self._held(node), **self._cameras[camera].scenes}.values()) <= memory

    def _held(self, node: str) -> dict[str, int]:
        scenes: dict[str, int] = {}
        for camera in self._on[node]:
            scenes |= self._cameras[camera].scenes
        return scenes
