"""One run of units on a cluster: what waits, what is under way, what is done again, and how it ends early."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError, TaskCancelledError
from rich.progress import Progress, TaskID

from ..terminal.progress import progress
from ..units import Failed, OnDone, Unit, Warm
from .heartbeat import Heartbeat
from .nodes import cluster_resources
from .warm_pool import WarmPool, attempt

log = logging.getLogger(__name__)

TRIES = 4  # of a unit whose worker or node dies: after so many, it may be what kills them
LOOK_SECONDS = 1.0  # between looks at the size of the cluster
AHEAD = 2  # units handed over for each that can run: what waits at the cluster tells an autoscaler to grow


class UnitRun:
    """A run of units until all are done. Used once.

    Units without a `Warm` are Ray's tasks, which it tries again by itself where a worker or a node dies. Those with
    one go to actors, to each one at a time; where an actor dies, its unit goes to whichever is free.

    Args:
        address: of the cluster, for messages.
        cpus: the most that a unit may ask for.
        on_done, title: as for `UnitRunner.run`.
    """

    def __init__(self, address: str, cpus: float, on_done: OnDone, title: str) -> None:
        self._address, self._cpus, self._on_done, self._title = address, cpus, on_done, title
        self._waiting: deque[Unit] = deque()
        self._tasks: dict[Any, Unit] = {}
        self._pools: dict[Warm, WarmPool] = {}
        self._tries: dict[Unit, int] = {}
        self._resources: dict[str, float] = {}
        self._looked = float("-inf")

    def run(self, units: Iterable[Unit]) -> None:
        """Runs units and those that follow from them."""
        self._waiting.extend(units)
        with progress("units") as bars, Heartbeat(self._address) as heartbeat:
            task = bars.add_task(self._title, total=len(self._waiting))
            try:
                while self._waiting or self._under_way:
                    heartbeat.check()
                    self._hand_over()
                    self._take(bars, task)
            except KeyboardInterrupt:
                bars.console.print("stopped: what is complete is kept, and the same command goes on")
                raise
            finally:
                self._let_go()

    @property
    def _under_way(self) -> int:
        return len(self._tasks) + sum(len(pool.calls) for pool in self._pools.values())

    def _room(self, unit: Unit) -> int:
        """The number of units like this that are handed over at a time."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._resources, self._looked = cluster_resources(), time.monotonic()
        shares = [self._resources.get("CPU", 1.0) / self._of(unit)] if unit.cpus else []
        shares += [self._resources.get("GPU", 0.0) / unit.gpus] if unit.gpus else []
        return max(1, int(min(shares, default=1.0))) * AHEAD

    def _of(self, unit: Unit) -> float:
        return min(unit.cpus, self._cpus)

    def _hand_over(self) -> None:
        """Hands over what the cluster has room for, and a few more; the others wait here, in their order."""
        left: deque[Unit] = deque()
        full: set[Warm | None] = set()
        while self._waiting:
            unit = self._waiting.popleft()
            if unit.warm in full or not self._begin(unit):
                full.add(unit.warm)
                left.append(unit)
        self._waiting = left
        for warm, pool in self._pools.items():
            alike = [unit for unit in left if unit.warm is warm]
            if alike:
                pool.grow(min(self._room(alike[0]), len(alike) + len(pool.calls)))
            elif left or self._tasks:
                pool.release()  # what others may need

    def _begin(self, unit: Unit) -> bool:
        """Hands over a unit; False if there is no room for it now."""
        if unit.warm is not None:
            pool = self._pools.get(unit.warm)
            if pool is None:
                pool = self._pools[unit.warm] = WarmPool(unit.warm, self._of(unit), unit.gpus)
            return pool.begin(unit)
        if len(self._tasks) >= self._room(unit):
            return False
        options = {"num_cpus": self._of(unit), "num_gpus": unit.gpus, "max_retries": TRIES - 1, "name": self._title}
        task = ray.remote(attempt).options(scheduling_strategy="SPREAD", **options)
        self._tasks[task.remote(unit.call, unit.args)] = unit
        return True

    def _take(self, bars: Progress, task: TaskID) -> None:
        """Takes what is done by now, having waited a moment for the first."""
        refs = [*self._tasks, *(ref for pool in self._pools.values() for ref in pool.refs())]
        done, _ = ray.wait(refs, num_returns=len(refs), timeout=0) if refs else ([], [])
        if not done:
            done, _ = ray.wait(refs, num_returns=1, timeout=LOOK_SECONDS)
        for ref in done:
            unit = self._tasks.pop(ref, None) or next(
                (found for pool in self._pools.values() if (found := pool.take(ref))), None
            )
            if unit is None:
                continue  # an actor that is there now
            answer, again = self._answer(unit, ref)
            if again:
                self._waiting.appendleft(unit)
                continue
            follow = list(self._on_done(unit, answer) or ())
            self._waiting.extendleft(reversed(follow))
            bars.update(task, advance=1, total=(bars.tasks[bars.task_ids.index(task)].total or 0) + len(follow))

    def _answer(self, unit: Unit, ref: Any) -> tuple[Any, bool]:
        """What a unit that is done returned or failed with, and whether it is to be done again."""
        try:
            return ray.get(ref), False
        except RayTaskError as error:  # a mistake of this program's: the others go on, and the log has it
            log.error("%s: %s", unit.key, error)
            return Failed(f"{type(error.cause).__name__}: {error.cause}"), False
        except (RayActorError, TaskCancelledError):  # a node that is shut down interrupts what it does
            self._tries[unit] = self._tries.get(unit, 0) + 1
            return Failed(f"what worked on it died {TRIES} times: is there memory enough?"), self._tries[unit] < TRIES
        except RayError as error:  # after Ray's own tries
            return Failed(f"what worked on it died {TRIES} times ({type(error).__name__})"), False

    def _let_go(self) -> None:
        """Ends what is under way: units leave nothing half-written, wherever they end."""
        for ref in self._tasks:
            ray.cancel(ref, force=True)
        for pool in self._pools.values():
            pool.close()
