"""The counters of a stream: plain numbers that only grow."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from threading import Lock

# Why a frame that came in was not delivered.
NEWER_FRAME = "newer frame"  # of a live source
SOURCE_FAILED = "source failed"  # while it was scored or delivered
STOPPED = "stopped"  # still waiting when the time for stopping was up
ABORTED = "aborted"
RUN_FAILED = "run failed"

LATENCY_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """The frames of one source, over all the times that a source of this name was added.

    Attributes:
        taken: those that came in: `delivered`, `dropped` or still in flight.
        scored: those that were scored, whether delivered or not.
        dropped: those given up, by cause.
    """

    taken: int
    scored: int
    delivered: int
    dropped: Mapping[str, int]

    @property
    def in_flight(self) -> int:
        """The number of frames that wait or are worked on."""
        return self.taken - self.delivered - sum(self.dropped.values())


@dataclass(frozen=True, slots=True)
class Latency:
    """The time that a stage took: `count` times, `seconds` in all, `at_most[i]` times at most LATENCY_BOUNDS[i]."""

    count: int
    seconds: float
    at_most: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counters at one moment.

    Attributes:
        sources: counts by name of the source, of those that have ended too.
        batches: number of batches that were scored, by size.
        waiting: time of each frame in its queue.
        scoring: time of each batch.
        delivering: time of each frame.
    """

    sources: Mapping[str, SourceCounts]
    batches: Mapping[int, int]
    waiting: Latency
    scoring: Latency
    delivering: Latency


class SourceCounter:
    """The counter of one source's frames; any thread may call it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken = self._scored = self._delivered = 0
        self._dropped: Counter[str] = Counter()

    def add_taken(self) -> None:
        """Counts a frame that came in."""
        with self._lock:
            self._taken += 1

    def add_scored(self) -> None:
        """Counts a frame that was scored."""
        with self._lock:
            self._scored += 1

    def add_delivered(self) -> None:
        """Counts a frame that was delivered."""
        with self._lock:
            self._delivered += 1

    def add_dropped(self, cause: str, frames: int = 1) -> None:
        """Counts frames that came in and are given up."""
        with self._lock:
            if frames:
                self._dropped[cause] += frames

    def counts(self) -> SourceCounts:
        """Returns the numbers as they are now."""
        with self._lock:
            return SourceCounts(self._taken, self._scored, self._delivered, dict(self._dropped))


class Stopwatch:
    """The collector of how long a stage took; any thread may call it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seconds = 0.0
        self._counts = [0] * (len(LATENCY_BOUNDS) + 1)  # the last one: longer than all bounds

    def add(self, seconds: float) -> None:
        """Adds the time that the stage took once."""
        with self._lock:
            self._seconds += seconds
            self._counts[bisect_left(LATENCY_BOUNDS, seconds)] += 1

    def latency(self) -> Latency:
        """Returns the numbers as they are now."""
        with self._lock:
            return Latency(sum(self._counts), self._seconds, tuple(accumulate(self._counts[:-1])))


class Counters:
    """The counters of a run; any thread may call them."""

    def __init__(self) -> None:
        self.waiting, self.scoring, self.delivering = Stopwatch(), Stopwatch(), Stopwatch()
        self._lock = Lock()
        self._sources: dict[str, SourceCounter] = {}
        self._batches: Counter[int] = Counter()

    def source(self, name: str) -> SourceCounter:
        """Returns the source's counter, which goes on where it was if the source was there before."""
        with self._lock:
            return self._sources.setdefault(name, SourceCounter())

    def add_batch(self, size: int) -> None:
        """Counts a scored batch of this size."""
        with self._lock:
            self._batches[size] += 1

    def snapshot(self) -> Snapshot:
        """Returns the numbers as they are now."""
        with self._lock:
            sources, batches = dict(self._sources), dict(self._batches)
        return Snapshot(
            {name: counter.counts() for name, counter in sources.items()},
            batches,
            self.waiting.latency(),
            self.scoring.latency(),
            self.delivering.latency(),
        )
