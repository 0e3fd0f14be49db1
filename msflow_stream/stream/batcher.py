"""Batches across sources: fair, bounded in frames, bytes and waiting time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from threading import Condition

from msflow_stream.stream.contract import Clock
from msflow_stream.stream.counters import STOPPED, SourceCounter
from msflow_stream.stream.queues import FrameQueue, TooLargeError
from msflow_stream.types import Frame


@dataclass(frozen=True, slots=True)
class QueuedFrame:
    """A frame on its way through the stream.

    Attributes:
        waited: seconds that it spent in its queue.
        counter: the counter of its source.
        sampled: whether it is to be scored; the others travel along to be delivered in order.
    """

    source: str
    frame: Frame
    waited: float
    counter: SourceCounter
    sampled: bool


@dataclass(slots=True)
class Batch:
    """Frames that travel together, in index order per source, and the sources whose last frame is among them."""

    frames: list[QueuedFrame] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    nbytes: int = 0
    sampled: int = 0  # how many of the frames are


class Batcher:
    """The maker of batches, out of all queues in turn. One thread calls `get`, any thread the rest.

    Args:
        size: number of sampled frames of a batch at most.
        nbytes: size of the images of a batch together; a larger image is a batch of its own.
        wait: seconds that an incomplete batch waits from its first frame on.
        clock: the clock of the queues.
    """

    def __init__(self, size: int, nbytes: int, wait: float, clock: Clock) -> None:
        if size < 1 or nbytes < 1 or wait < 0:
            raise ValueError(f"a batch of {size} frames and {nbytes} bytes that waits {wait} s makes no sense")
        self._size, self._nbytes, self._wait, self._clock = size, nbytes, wait, clock
        self._changed = Condition()
        self._queues: dict[str, FrameQueue] = {}
        self._turns: deque[str] = deque()  # whose turn it is comes first
        self._last = False
        self._drain_until: float | None = None
        self._halted: str | None = None

    def add(self, source: str, queue: FrameQueue) -> None:
        """Gets frames from this queue too, until it has ended."""
        with self._changed:
            self._queues[source] = queue
            self._turns.append(source)
        queue.arrived = self._notify
        self._notify()

    def finish(self, drain_until: float | None = None) -> None:
        """Says that no source will be added: `get` returns None when the present ones have ended.

        Args:
            drain_until: time at which the queues are closed and what waits in them is given up; None is never.
        """
        with self._changed:
            self._last = True
            self._drain_until = drain_until if drain_until is not None else self._drain_until
            self._changed.notify_all()

    def halt(self, cause: str) -> None:
        """Gives up everything: `get` returns None from now on."""
        with self._changed:
            self._halted = self._halted or cause
            self._discard(self._halted)

    def get(self) -> Batch | None:
        """Returns the next batch, which has no frames if it only says which sources ended; None after the last."""
        batch, until = Batch(), None
        with self._changed:
            while self._halted is None:
                if self._drain_until is not None and self._clock.now() >= self._drain_until:
                    self._discard(STOPPED)
                complete = self._gather(batch)
                self._sweep(batch)
                if batch.frames and until is None:
                    until = self._clock.now() + self._wait
                if complete or not self._queues or (until is not None and self._clock.now() >= until):
                    if batch.frames or batch.ended:
                        return batch
                    if self._last:
                        return None
                elif batch.ended and not batch.frames:
                    return batch
                self._clock.wait(self._changed, until)
            for queued in batch.frames:
                queued.counter.add_dropped(self._halted)
            return None

    def _gather(self, batch: Batch) -> bool:
        """Gets what waits, one frame of each source in turn; True if no more frames fit in the batch."""
        idle = 0
        while batch.sampled < self._size:
            if idle >= len(self._turns):
                return False
            source = self._turns[0]
            queue = self._queues[source]
            try:
                waiting = queue.get(self._nbytes - batch.nbytes if batch.frames else None)
            except TooLargeError:  # it is still this source's turn, in the next batch
                return True
            self._turns.rotate(-1)
            idle += 1
            if waiting is not None:
                idle = 0
                waited = self._clock.now() - waiting.since
                sampled = queue.sampled(waiting.frame)
                batch.frames.append(QueuedFrame(source, waiting.frame, waited, queue.counter, sampled))
                batch.nbytes += waiting.frame.nbytes
                batch.sampled += sampled
        return True

    def _sweep(self, batch: Batch) -> None:
        """Moves sources that have ended from the queues to the batch."""
        ended = [source for source, queue in self._queues.items() if queue.ended]
        for source in ended:
            del self._queues[source]
            self._turns.remove(source)
        batch.ended.extend(ended)

    def _discard(self, cause: str) -> None:
        for queue in self._queues.values():
            queue.discard(cause)
        self._changed.notify_all()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
