"""The watch of a node as a Ray actor: told what to watch, asked how it is doing."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import perf_counter
from uuid import uuid4

import numpy as np

from msflow_stream.config.cameras import Camera
from msflow_stream.events.store.lease_keeper import LeaseKeeper
from msflow_stream.events.store.leases import Leases
from msflow_stream.files import make_folder
from msflow_stream.logs import Redactor
from msflow_stream.machine import settle_memory, usable_memory
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.inference import Inference
from msflow_stream.scoring.scorer import ScoreRequest, score_batch
from msflow_stream.types import Frame, UserError
from msflow_stream.watch.event_router import EventRouter, store_url
from msflow_stream.watch.live_frames import ShownFrame

from ..bench.machine import resident_memory
from ..machine_watch import MachineWatch, hide_secrets, machine_watch
from ..terminal.log_setup import logged
from ..watch import held_alone
from .leased_watch import LeasedWatch
from .node_facts import NODES, Assignment, LogLine, NodeFacts

log = logging.getLogger(__name__)

MOST_LINES = 1000
MEMORY_SHARE = 0.5  # of what a node has, for scenes
MEASURE_SECONDS = 1.0


class WatchNode:
    """The watch of one node. It begins with nothing, and does what it is told.

    Args:
        name: the node's, which its folder has too.
    """

    def __init__(self, name: str) -> None:
        self._name, self._born = name, uuid4().hex[:8]
        self._told: Assignment | None = None
        self._running: RunningNode | None = None
        self._changing = asyncio.Lock()

    async def assign(self, told: Assignment) -> int:
        """Has this node watch other cameras from now on; returns the number of the assignment that it follows.

        Raises:
            UserError: it cannot watch anything, or not by this cameras file.
        """
        async with self._changing:
            if self._told is None or told.number > self._told.number:
                await asyncio.to_thread(self._follow, told)
                self._told = told
            return self._told.number

    def _follow(self, told: Assignment) -> None:
        if self._running is None:
            self._running = RunningNode(self._name, told)
        self._running.follow(told, self._told)

    async def report(self, after: int = 0) -> NodeFacts:
        """Returns how this node is doing, with the lines of its log after the one of that number."""
        running, told = self._running, self._told
        if running is None or told is None:
            return NodeFacts(node=self._name, born=self._born)
        found = await asyncio.to_thread(running.report, after)
        return replace(found, node=self._name, born=self._born, told=told.number, cameras=frozenset(told.cameras))

    async def frame(self, camera: str, width: int, after: int, seconds: float, plain: bool) -> ShownFrame | None:
        """Returns the newest frame of a camera, drawn; None where none is newer than `after` so soon.

        Raises:
            KeyError: it is not watched here.
        """
        if self._running is None:
            raise KeyError(camera)
        return await self._running.machine.frames.shown(camera, width, after, seconds, plain)

    async def test_alert(self, name: str) -> None:
        """Sends a test by an alert; raises UserError as `EventRouter.test`."""
        await asyncio.to_thread(self._router().test, name)

    async def retry_dead(self, name: str) -> int:
        """Queues the dead letters of an alert again; raises UserError as `EventRouter.retry_dead`."""
        return await asyncio.to_thread(self._router().retry_dead, name)

    def _router(self) -> EventRouter:
        if self._running is None:
            raise UserError(f"node {self._name} watches nothing yet")
        return self._running.machine.router

    async def stop(self) -> None:
        """Ends all cameras, finishes what is open, and gives the leases back."""
        async with self._changing:
            running, self._running, self._told = self._running, None, None
            if running is not None:
                await asyncio.to_thread(running.close)


class RunningNode:
    """All that is open while a node watches. To be closed.

    Raises:
        UserError: another process watches in the node's folder, or an alert cannot begin.
    """

    def __init__(self, name: str, told: Assignment) -> None:
        settle_memory()
        self._open, self._everyone = ExitStack(), told.file.cameras
        try:
            self._redactor = self._open.enter_context(logged(told.job.logs))
            hide_secrets(self._redactor, told.file)
            self._lines = LogTail(self._redactor)
            self._open.callback(self._lines.end)
            home = told.job.written.out / NODES / name
            make_folder(home)
            self._open.enter_context(held_alone(home))
            self.machine, self._watch = self._begun(name, told, home)
        except BaseException:
            self._open.close()
            raise

    def _begun(self, name: str, told: Assignment, home: Path) -> tuple[MachineWatch, LeasedWatch]:
        leases = self._open.enter_context(Leases(store_url(told.file, told.job.written.out), name))
        leases.open()
        leases.end_earlier()  # of a process that has ended, as its folder is free
        keeper = self._open.enter_context(LeaseKeeper(leases, lambda cameras: self._watch.lose(cameras)))
        machine = self._open.enter_context(
            machine_watch(
                told.job,
                told.file,
                watched={},
                node=home,
                everyone=lambda: self._everyone,
                keeper=keeper,
            )
        )
        watch = LeasedWatch(
            machine,
            keeper,
            lambda scene: sustained(scene, machine.inference, told.job.batch),
            lambda: machine.router.take_over(home, lambda node: node not in leases.nodes()),
        )
        watch.start()
        self._open.callback(watch.close)
        self._open.enter_context(machine.supervisor)
        return machine, watch

    def follow(self, told: Assignment, before: Assignment | None) -> None:
        """Follows an assignment.

        Raises:
            UserError: a cameras file that cannot be used.
        """
        hide_secrets(self._redactor, told.file)
        self._everyone = told.file.cameras
        cameras: dict[str, Camera] = {name: told.file.cameras[name] for name in told.cameras}
        leaving = {name: one for name, one in self._watch.watched().items() if name not in cameras}
        self._watch.assign(cameras)
        if before is not None and told.reloads != before.reloads:
            self._watch.follow(told.file)
        self.machine.reroute(told.file, {**cameras, **leaving})

    def report(self, after: int) -> NodeFacts:
        """Returns how it is doing, but for what the assignment says."""
        return NodeFacts(
            node="",
            born="",
            watch=self.machine.report(),
            ready=self._watch.ready(),
            held=self._watch.held(),
            troubles=self._watch.troubles(),
            fps=self._watch.fps,
            memory=int(MEMORY_SHARE * usable_memory()),
            resident_bytes=resident_memory(),
            away=self._watch.away,
            stuck=self.machine.watcher.stuck(),
            lines=self._lines.after(after),
        )

    def close(self) -> None:
        """Ends everything."""
        self._open.close()


class LogTail(logging.Handler):
    """The latest lines of a node's log, numbered, for the coordinator to log them. To be ended."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor, self._numbers = redactor, count(1)
        self._lines: deque[LogLine] = deque(maxlen=MOST_LINES)
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        text = self._redactor(self.format(record))
        self._lines.append(LogLine(next(self._numbers), record.levelno, record.name, text))

    def after(self, number: int) -> tuple[LogLine, ...]:
        """Returns the lines after the one of a number."""
        return tuple(line for line in list(self._lines) if line.number > number)

    def end(self) -> None:
        """Keeps no more lines."""
        logging.getLogger().removeHandler(self)


def sustained(scene: Scene, inference: Inference, batch: int, seconds: float = MEASURE_SECONDS) -> float:
    """Returns how many frames per second a scene's networks score here, in full batches of noise."""
    height, width = scene.settings.input.size
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    requests = [
        ScoreRequest(Frame("", number, None, 0.0, None, image), scene, scene.settings.score) for number in range(batch)
    ]
    score_batch(requests, inference)  # the first one prepares
    begin, frames = perf_counter(), 0
    while perf_counter() - begin < seconds:
        frames += len(score_batch(requests, inference))
    return frames / (perf_counter() - begin)
