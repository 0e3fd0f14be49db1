"""The coordinator of a watch on many nodes: it places the cameras, tells the nodes, and hears how they are doing."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, RLock, Thread
from time import monotonic
from typing import Any, Protocol

from msflow_stream.config.cameras import Camera, Cameras
from msflow_stream.logs import Outage
from msflow_stream.scenes.exchange import scene_exists
from msflow_stream.scenes.folder import WEIGHTS, scene_folder
from msflow_stream.types import UserError
from msflow_stream.watch.camera import USUAL_RATE
from msflow_stream.watch.nodes import ClusterReport, NodeReport, NodeState

from ..machine_watch import WatchJob
from .node_desk import NodeCalls
from .node_facts import Assignment, NodeFacts
from .placement import MOVES, SETTLED, Capacity, Load, placed

log = logging.getLogger(__name__)

LOOK = 0.5  # seconds between two rounds
SILENT = 5.0  # seconds without an answer, after which a node counts as gone
STARTS = 60.0  # seconds that nodes which are starting are waited for before the first cameras are placed
ARRIVES = 15.0  # seconds for a camera that was moved to arrive, until which no more are moved without need
EMPTIES = 120.0  # seconds for a node that is to begin anew to be emptied
RETURNS = 120.0  # seconds for it to be back with cameras, until which the next one is left alone
FASTEST = 240  # frames/s of a camera; more is no rate but a clock
STOPS = 15.0  # seconds for a node to end properly


class Fleet(Protocol):
    """The nodes of a cluster as Ray has them, each with the actor that watches there."""

    def nodes(self) -> list[str]:
        """Returns the names of the nodes that there are now; one that is new gets its actor."""

    def call(self, node: str, method: str, *arguments: Any) -> Future[Any]:
        """Calls a method of a node's actor; never waits."""

    def restart(self, node: str) -> None:
        """Has a node's actor begin anew, with nothing."""

    def calls(self, node: str) -> NodeCalls:
        """Returns what the console may ask of a node."""

    def end(self, node: str) -> None:
        """Ends a node's actor."""


class _Node:
    """A node as it is known so far."""

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.facts: NodeFacts | None = None
        self.heard: float | None = None
        self.seen: datetime | None = None  # the same by the time of day
        self.since = now  # without a silence
        self.is_away, self.turned = False, now  # whether the store does not answer it, and since when (not)
        self.asked: Future[NodeFacts] | None = None
        self.told: tuple[str, Assignment] | None = None  # to which process, and what
        self.telling: Future[int] | None = None
        self.line = 0  # number of the last line of its log
        self.silence, self.trouble = Outage(log), Outage(log)

    def answers(self, now: float) -> bool:
        """Returns whether it has answered lately."""
        return self.heard is not None and now - self.heard <= SILENT

    def has_store(self, now: float) -> bool:
        """Returns whether it has had the store for a while."""
        return self.answers(now) and not self.is_away and now - self.turned >= SILENT


class Coordinator:
    """Places cameras on nodes and follows what becomes of them, in a thread of its own. To be started and closed.

    The nodes go on without it: when it is begun again it finds them, and what they watch.

    Args:
        fleet: the nodes.
        job: the settings of the watch.
        file: the cameras file as it is.
        clock: seconds.
    """

    def __init__(self, fleet: Fleet, job: WatchJob, file: Cameras, clock: Callable[[], float] = monotonic) -> None:
        self._fleet, self._job, self._clock = fleet, job, clock
        self._file, self._loads = file, _loads(file, job.scenes)
        self._lock, self._closing = RLock(), Event()
        self._nodes: dict[str, _Node] = {}
        self._target: dict[str, str] = {}
        self._moved: dict[str, float] = {}  # when each was placed where it is
        self._number = self._reloads = self._failed_reloads = 0
        self._begun, self._started = clock(), datetime.now(UTC)
        self._placing = False
        self._to_restart: deque[str] = deque()
        self._stopping: tuple[str, Future[None] | None, float] | None = None  # the node that begins anew
        self._returning: tuple[str, float] | None = None  # the one that did so before, and since when
        self._alive = clock()
        self._thread = Thread(target=self._run, name="coordinator", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.wait(LOOK):
            try:
                self.tick()
            except Exception:
                log.exception("a fault in the placing of cameras; it is tried again")

    def tick(self) -> None:
        """Does what is to be done now."""
        names = self._fleet.nodes()
        with self._lock:
            now = self._alive = self._clock()
            self._see(names, now)
            for node in self._nodes.values():
                self._hear(node, now)
            if self._may_place(now):
                self._place(now)
                for node in self._nodes.values():
                    self._tell(node, now)
                self._go_on_restarting(now)

    def _see(self, names: list[str], now: float) -> None:
        for name in names:
            if name not in self._nodes:
                log.info("node %s has come", name)
                self._nodes[name] = _Node(name, now)
        for name in self._nodes.keys() - set(names):
            log.warning("node %s is gone", name)
            del self._nodes[name]

    def _hear(self, node: _Node, now: float) -> None:
        """Takes what a node answered, and asks it again."""
        if node.asked is not None and node.asked.done():
            asked, node.asked = node.asked, None
            if asked.exception() is None:
                self._heard(node, asked.result(), now)
        if node.asked is None:
            node.asked = self._fleet.call(node.name, "report", node.line)
        if self._works(node, now):
            node.silence.end(f"node {node.name} is there again")
        elif node.heard is not None:
            why = "cannot reach the store" if node.answers(now) else "does not answer"
            node.silence.begin(f"node {node.name} {why}: others take its cameras", why)

    def _heard(self, node: _Node, facts: NodeFacts, now: float) -> None:
        if not self._works(node, now):
            node.since = now
        if facts.away != node.is_away:
            node.is_away, node.turned = facts.away, now
        if node.facts is not None and node.facts.born != facts.born:
            node.line = 0
        for line in facts.lines:
            if line.number > node.line:
                logging.getLogger(line.logger).log(line.level, "%s: %s", node.name, line.text)
                node.line = line.number
        node.facts, node.heard, node.seen = replace(facts, lines=()), now, datetime.now(UTC)
        if facts.stuck is not None:
            log.error("node %s begins anew: %s", node.name, facts.stuck)
            self._begin_anew(node)

    def _works(self, node: _Node, now: float) -> bool:
        """Returns whether cameras can be watched on a node: it answers, and has the store if any other node has."""
        if not node.is_away or now - node.turned < SILENT:
            return node.answers(now)
        return node.answers(now) and not any(other.has_store(now) for other in self._nodes.values())

    def _may_place(self, now: float) -> bool:
        """Returns whether cameras are placed: at first, nodes that are starting are waited for."""
        if not self._placing:
            known = bool(self._nodes) and all(self._works(node, now) for node in self._nodes.values())
            if not known and now - self._begun < STARTS:
                return False
            self._placing = True
            for node in self._nodes.values():  # of a coordinator before this one
                if node.facts is not None:
                    self._target |= dict.fromkeys((*node.facts.cameras, *node.facts.held), node.name)
        return True

    def _place(self, now: float) -> None:
        nodes = {
            name: Capacity(
                fps=None if node.facts is None else node.facts.fps,
                memory=None if node.facts is None else node.facts.memory,
                since=node.since,
                leaving=self._is_leaving(name),
            )
            for name, node in self._nodes.items()
            if self._works(node, now)
        }
        if not nodes:
            return  # and nothing is forgotten
        arrived = self._holders(now)
        moving = [camera for camera, node in self._target.items() if arrived.get(camera) != node]
        under_way = any(now - self._moved.get(camera, -math.inf) < ARRIVES for camera in moving)
        before, self._target = (
            self._target,
            placed(self._measured(now), nodes, self._target, now, fixed=moving, moves=0 if under_way else MOVES),
        )
        for camera, node in self._target.items():
            if before.get(camera) != node:
                self._moved[camera] = now
                log.info("%s: on node %s from now on", camera, node)

    def _measured(self, now: float) -> dict[str, Load]:
        """Returns what the cameras ask for, by their rates where those are known."""
        loads = dict(self._loads)
        for node in self._nodes.values():
            watch = None if node.facts is None or not self._works(node, now) else node.facts.watch
            for one in () if watch is None else watch.cameras:
                rate = None if one.status.info is None else one.status.info.rate
                if one.name in loads and rate is not None and 0 < rate <= FASTEST:
                    loads[one.name] = replace(loads[one.name], fps=float(rate) / self._file.cameras[one.name].every)
        return loads

    def _is_leaving(self, name: str) -> bool:
        return self._stopping is not None and self._stopping[0] == name

    def _holders(self, now: float) -> dict[str, str]:
        """Returns which node says that it has the lease of a camera."""
        there = [node for node in self._nodes.values() if self._works(node, now) and node.facts is not None]
        return {camera: node.name for node in there if node.facts is not None for camera in node.facts.held}

    def _tell(self, node: _Node, now: float) -> None:
        """Tells a node what to watch, unless it knows: what is placed there, and what it has until others have it."""
        if node.telling is not None and node.telling.done():
            failed, node.telling = node.telling.exception(), None
            if failed is not None:
                reason = str(getattr(failed, "cause", type(failed).__name__))
                node.trouble.begin(f"node {node.name} cannot watch: {reason}", reason)
                node.told = None
            else:
                node.trouble.end(f"node {node.name} can watch again")
        if node.facts is None or not self._works(node, now) or node.telling is not None:
            return
        wanted = tuple(camera for camera in self._file.cameras if self._belongs(camera, node.name, node.facts, now))
        if node.told is not None and node.told[0] == node.facts.born:
            told = node.told[1]
            if told.file is self._file and set(told.cameras) == set(wanted) and told.reloads == self._reloads:
                return
        self._number = max(self._number, *(one.facts.told for one in self._nodes.values() if one.facts)) + 1
        told = Assignment(number=self._number, job=self._job, file=self._file, cameras=wanted, reloads=self._reloads)
        node.told = node.facts.born, told
        node.telling = self._fleet.call(node.name, "assign", told)

    def _belongs(self, camera: str, node: str, facts: NodeFacts, now: float) -> bool:
        target = self._target.get(camera)
        if target == node or camera not in facts.held:
            return target == node
        other = self._nodes.get(target or "")
        return (
            other is not None
            and self._works(other, now)
            and other.facts is not None
            and camera not in other.facts.ready
        )

    def restart_nodes(self) -> None:
        """Has one node after another begin anew, each when its cameras are watched by others."""
        with self._lock:
            self._to_restart.extend(name for name in sorted(self._nodes) if name not in self._to_restart)

    def _go_on_restarting(self, now: float) -> None:
        if self._stopping is None:
            if self._to_restart and self._is_quiet(now) and (name := self._to_restart.popleft()) in self._nodes:
                log.info("node %s is emptied, to begin anew", name)
                self._stopping = name, None, now
            return
        name, stop, since = self._stopping
        node = self._nodes.get(name)
        if node is None or node.facts is None:
            self._stopping = None
        elif stop is None:
            alone = all(other.name == name or not self._works(other, now) for other in self._nodes.values())
            if alone or not node.facts.held or now - since > EMPTIES:
                self._stopping = name, self._fleet.call(name, "stop"), now
        elif stop.done() or now - since > STOPS:
            log.info("node %s begins anew", name)
            self._begin_anew(node)
            self._stopping, self._returning = None, (name, now)

    def _is_quiet(self, now: float) -> bool:
        """Returns whether the node that began anew before is back, and all cameras have arrived where they were placed.

        A process that begins takes the processor from those that watch on the same machine, and so does a camera.
        """
        if self._returning is None:
            return True
        name, since = self._returning
        node = self._nodes.get(name)
        if node is not None and now - since <= RETURNS:
            if not self._works(node, now) or now - node.since < SETTLED:
                return False
            arrived = self._holders(now)
            if any(arrived.get(camera) != place for camera, place in self._target.items()):
                return False
        self._returning = None
        return True

    def _begin_anew(self, node: _Node) -> None:
        self._fleet.restart(node.name)
        node.told = node.heard = None

    def follow(self, file: Cameras) -> None:
        """Follows a cameras file that was read again, on all nodes.

        Raises:
            UserError: it cannot be used; nothing was changed.
        """
        loads = _loads(file, self._job.scenes)
        with self._lock:
            if file.alerts.keys() - self._file.alerts.keys():
                new = ", ".join(sorted(file.alerts.keys() - self._file.alerts.keys()))
                raise UserError(f"alerts that are new ({new}) are for the start of a watch: begin it again")
            self._file, self._loads = file, loads
            self._reloads += 1

    def count_failed_reload(self) -> None:
        """Counts that the cameras file could not be used."""
        with self._lock:
            self._failed_reloads += 1

    def report(self) -> ClusterReport:
        """Returns how everything is doing now."""
        with self._lock:
            now = self._clock()
            placed = {**self._target, **self._holders(now)}
            return ClusterReport(
                nodes=tuple(self._of_node(node, now) for _, node in sorted(self._nodes.items())),
                cameras={name: camera.scenes[0] for name, camera in self._file.cameras.items()},
                placed={name: placed[name] for name in self._file.cameras if name in placed},
                started=self._started,
                reloads=self._reloads,
                failed_reloads=self._failed_reloads,
            )

    def _of_node(self, node: _Node, now: float) -> NodeReport:
        facts = node.facts
        state: NodeState = "draining" if self._is_leaving(node.name) else "watching"
        return NodeReport(
            name=node.name,
            state=state if self._works(node, now) else "away",
            watch=None if facts is None else facts.watch,
            seen=node.seen,
            frames_per_s=None if facts is None else facts.fps,
            resident_bytes=None if facts is None else facts.resident_bytes,
        )

    def stuck(self) -> str | None:
        """Returns why the coordinator should be restarted: it has not looked after the nodes for long."""
        seconds = self._clock() - self._alive
        return None if seconds < 60 else f"no node was looked after for {seconds:.0f} s"

    def node_of(self, camera: str) -> str | None:
        """Returns the node that watches a camera, None where none does; KeyError where there is no such camera."""
        with self._lock:
            if camera not in self._file.cameras:
                raise KeyError(camera)
            return self._holders(self._clock()).get(camera) or self._target.get(camera)

    def calls(self) -> dict[str, NodeCalls]:
        """Returns what the console may ask, of the nodes that answer."""
        with self._lock:
            now = self._clock()
            return {name: self._fleet.calls(name) for name, node in self._nodes.items() if self._works(node, now)}

    def close(self) -> None:
        """Leaves the nodes as they are."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(STOPS)

    def stop(self) -> None:
        """Ends all cameras on all nodes properly, and the nodes' actors. After `close`."""
        ending = {name: self._fleet.call(name, "stop") for name in self._nodes}
        end = monotonic() + STOPS
        for name, stopped in ending.items():
            try:
                stopped.result(max(0.1, end - monotonic()))
            except Exception as error:  # it is gone, or does not answer
                log.warning(
                    "node %s did not end properly: %s", name, str(error).splitlines()[0] or type(error).__name__
                )
            self._fleet.end(name)


def _loads(file: Cameras, scenes: Path) -> dict[str, Load]:
    """Returns what the cameras ask of a node.

    Raises:
        UserError: a scene that is not there.
    """
    return {name: _load(name, camera, scenes) for name, camera in file.cameras.items()}


def _load(name: str, camera: Camera, scenes: Path) -> Load:
    sizes = {}
    for scene in camera.scenes:
        folder = scene_folder(scenes, scene)
        if camera.learn is None and not scene_exists(folder):
            raise UserError(f"camera {name}: no scene {scene!r} in {scenes}")
        weights = folder / WEIGHTS
        sizes[scene] = weights.stat().st_size if weights.exists() else 0
    return Load(USUAL_RATE / camera.every, sizes)
