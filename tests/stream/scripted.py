"""Clocks that a test moves, frames of given size, and callables with gates, for pipelines without a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Condition, Event, Lock, Semaphore, Thread

import numpy as np

from msflow_stream.types import Frame, FrameScore, Scores

MAP = np.zeros((1, 1), np.float16)
PATIENCE = 30.0  # seconds after which a test says that something hangs


def frame(source: str, index: int, nbytes: int = 3) -> Frame:
    return Frame(source, index, index, index / 25, None, np.zeros((nbytes // 3, 1, 3), np.uint8))


def frame_score(source: str, frame: Frame) -> FrameScore:
    return FrameScore(source, "yard", frame.index, frame.time, None, Scores(float(frame.index), 0, 0), MAP)


class SimulatedClock:
    """Time of a test with one thread: waiting runs what is due, and goes straight to the time waited for."""

    def __init__(self) -> None:
        self._now = 0.0
        self._agenda: list[tuple[float, Callable[[], object]]] = []

    def at(self, time: float, action: Callable[[], object]) -> None:
        self._agenda.append((time, action))
        self._agenda.sort(key=lambda entry: entry[0])

    def now(self) -> float:
        return self._now

    def advance_to(self, time: float) -> None:
        while self._agenda and self._agenda[0][0] <= time:
            self._next()
        self._now = max(self._now, time)

    def wait(self, condition: Condition, until: float | None) -> None:
        if self._agenda and (until is None or self._agenda[0][0] <= until):
            self._next()
        else:
            assert until is not None, "waits for what will never come"
            self._now = max(self._now, until)

    def _next(self) -> None:
        time, action = self._agenda.pop(0)
        self._now = max(self._now, time)
        action()


class ManualClock:
    """Time of a test with threads: stands until `advance`."""

    def __init__(self) -> None:
        self._lock, self._now = Lock(), 0.0
        self._waited_on: list[Condition] = []

    def now(self) -> float:
        with self._lock:
            return self._now

    def wait(self, condition: Condition, until: float | None) -> None:
        with self._lock:  # noted before it looks at the time, so that no advance is missed
            self._waited_on.append(condition)
        try:
            if until is None or self.now() < until:
                condition.wait()
        finally:
            with self._lock:
                self._waited_on.remove(condition)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds
            waited_on = list(self._waited_on)
        for condition in waited_on:
            with condition:
                condition.notify_all()


class Gate:
    """Lets through as often as it was told to, or for ever once it is open; knows how many have arrived."""

    def __init__(self, opened: bool = True) -> None:
        self._permits, self._opened = Semaphore(0), Event()
        self._arrivals = Semaphore(0)
        if opened:
            self.open()

    def let(self, times: int = 1) -> None:
        self._permits.release(times)

    def open(self) -> None:
        self._opened.set()
        self._permits.release()

    def arrived(self, times: int = 1) -> None:
        """Waits for so many more arrivals."""
        for _ in range(times):
            assert self._arrivals.acquire(timeout=PATIENCE), "nobody came to the gate"

    def __call__(self) -> None:
        self._arrivals.release()
        assert self._permits.acquire(timeout=PATIENCE), "nobody opened the gate"
        if self._opened.is_set():
            self._permits.release()


class Camera:
    """A source of the given frames: each passes the gate, then comes; at the end it may fail, and it knows its end."""

    def __init__(
        self, name: str, indices: Iterable[int], gate: Gate | None = None, error: Exception | None = None
    ) -> None:
        self.name, self.gate, self.closed = name, gate or Gate(), Event()
        self._indices, self._error, self._interrupted = indices, error, False

    def __iter__(self) -> Iterator[Frame]:
        try:
            for index in self._indices:
                self.gate()
                if self._interrupted:
                    return
                yield frame(self.name, index)
            if self._error is not None:
                raise self._error
        finally:
            self.closed.set()

    def interrupt(self) -> None:
        self._interrupted = True
        self.gate.open()


class Callbacks:
    """`score`, `deliver` and `ended` of a runner, each behind a gate or with an error, and what they were called with.

    Attributes:
        batches: what `score` was given.
        unscored: what was delivered without a score.
        log: (source, index) of what was delivered, (source, error) of what ended, in order.
    """

    def __init__(self, scoring: Gate | None = None, delivering: Gate | None = None) -> None:
        self.scoring, self.delivering = scoring or Gate(), delivering or Gate()
        self.batches: list[list[tuple[str, int]]] = []
        self.log: list[tuple[str, int | Exception | None]] = []
        self.score_error: Callable[[Sequence[tuple[str, Frame]]], BaseException | None] = lambda batch: None
        self.deliver_error: Callable[[str, Frame], BaseException | None] = lambda source, frame: None
        self.on_end: Callable[[str, Exception | None], None] = lambda source, error: None
        self.unscored: set[tuple[str, int]] = set()
        self._ends: dict[str, Event] = {}

    def score(self, batch: Sequence[tuple[str, Frame]]) -> list[FrameScore]:
        self.scoring()
        self.batches.append([(source, frame.index) for source, frame in batch])
        if (error := self.score_error(batch)) is not None:
            raise error
        return [frame_score(source, frame) for source, frame in batch]

    def deliver(self, source: str, frame: Frame, score: FrameScore | None) -> None:
        self.delivering()
        if score is None:
            self.unscored.add((source, frame.index))
        else:
            assert (score.source, score.index) == (source, frame.index)
        if (error := self.deliver_error(source, frame)) is not None:
            raise error
        self.log.append((source, frame.index))

    def ended(self, source: str, error: Exception | None) -> None:
        self.log.append((source, error))
        self._ends.setdefault(source, Event()).set()
        self.on_end(source, error)

    def wait_for_end(self, source: str) -> None:
        assert self._ends.setdefault(source, Event()).wait(PATIENCE), f"{source} does not end"

    def of(self, source: str) -> list[int | Exception | None]:
        return [what for name, what in self.log if name == source]


def in_time(work: Callable[[], object]) -> None:
    """Does the work in a thread, so that a hang is a failure; raises what it raises."""
    raised: list[BaseException] = []

    def attempt() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=attempt, name="in time", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "hangs"
    if raised:
        raise raised[0]


def join_left_behind() -> None:
    """Waits for the threads that a run gave up waiting for, once nothing holds them any more."""
    for thread in threading.enumerate():
        if thread.name in ("score", "deliver") or thread.name.startswith("read "):
            thread.join(PATIENCE)
