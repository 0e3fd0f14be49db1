"""Measurements that are compared: taken in turn, round by round, so that what else a machine does is spread evenly."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ..terminal.progress import progress

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that something took: on the clock, and of all cores together."""

    wall: float
    cpu: float


def spent(work: Callable[[], object]) -> Spent:
    """Returns the time that `work` takes in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(measurements: Mapping[Key, Callable[[], Value]], rounds: int, task: str) -> dict[Key, list[Value]]:
    """Returns what each measurement gave in `rounds` rounds of all of them, after one that only warms up.

    Args:
        task: what the progress bar says.
    """
    taken: dict[Key, list[Value]] = {key: [] for key in measurements}
    with progress("measurements") as bars:
        bar = bars.add_task(task, total=(rounds + 1) * len(measurements))
        for number in range(rounds + 1):
            for key, measure in measurements.items():
                value = measure()
                if number:
                    taken[key].append(value)
                bars.advance(bar)
    return taken


def median(values: Iterable[Spent]) -> Spent:
    """The medians of both."""
    pairs = list(values)
    return Spent(statistics.median(one.wall for one in pairs), statistics.median(one.cpu for one in pairs))
