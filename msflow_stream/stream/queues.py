"""The queues in which frames wait for their batch: the newest only (live), or all of them, bounded (a file)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from typing import Generic, TypeVar

from msflow_stream.stream.contract import Clock, MonotonicClock, Sampled
from msflow_stream.stream.counters import NEWER_FRAME, SourceCounter
from msflow_stream.types import Frame

T = TypeVar("T")


class TooLargeError(Exception):
    """An error: the next frame has more bytes than it may have."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A frame and the time (on the queue's clock) from which it waits."""

    frame: Frame
    since: float


class FrameQueue(ABC):
    """A queue of frames between two threads: one puts, the other gets, any may close.

    Closed, it takes no more frames; those that wait can still be got.

    Attributes:
        counter: counts the source's frames.
        sampled: tells which of its frames are to be scored; all, if not said otherwise.
        arrived: called after a frame came in or the queue was closed, without any lock of the queue.
    """

    def __init__(self, clock: Clock | None = None, counter: SourceCounter | None = None) -> None:
        self.counter = counter or SourceCounter()
        self.sampled: Sampled = _every_one
        self.arrived: Callable[[], None] = _nothing
        self._clock = clock or MonotonicClock()
        self._changed = Condition()
        self._waiting: deque[Waiting] = deque()
        self._closed = False
        self._error: Exception | None = None

    @abstractmethod
    def _make_room(self, frame: Frame) -> None:
        """Waits or drops until the frame may come in or the queue is closed, with the lock held."""

    def put(self, frame: Frame) -> bool:
        """Takes a frame in; False if the queue is closed, or was while the frame waited for room."""
        with self._changed:
            if not self._closed:
                self._make_room(frame)
            if self._closed:
                return False
            self._waiting.append(Waiting(frame, self._clock.now()))
            self.counter.add_taken()
        self.arrived()
        return True

    def get(self, max_bytes: int | None = None) -> Waiting | None:
        """Returns the frame that waits longest, at once; None if there is none.

        Args:
            max_bytes: size that the frame may have; None means any size.

        Raises:
            TooLargeError: the frame is larger than that and stays where it is.
        """
        with self._changed:
            if not self._waiting:
                return None
            if max_bytes is not None and self._waiting[0].frame.nbytes > max_bytes:
                raise TooLargeError
            self._changed.notify_all()
            return self._waiting.popleft()

    def close(self, error: Exception | None = None) -> None:
        """Says that the source has ended, with an error if it failed. Only the first call counts."""
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
            self._changed.notify_all()
        self.arrived()

    def discard(self, cause: str) -> None:
        """Closes the queue and gives up what waits."""
        with self._changed:
            self._closed = True
            self.counter.add_dropped(cause, len(self._waiting))
            self._waiting.clear()
            self._changed.notify_all()
        self.arrived()

    @property
    def ended(self) -> bool:
        """True once nothing waits and nothing will."""
        with self._changed:
            return self._closed and not self._waiting

    @property
    def error(self) -> Exception | None:
        """The error that the source failed with."""
        with self._changed:
            return self._error


class NewestFrame(FrameQueue):
    """The queue of a live source: holds the newest frame; one that it replaces is dropped and counted."""

    def _make_room(self, frame: Frame) -> None:
        self.counter.add_dropped(NEWER_FRAME, len(self._waiting))
        self._waiting.clear()


class BoundedQueue(FrameQueue):
    """The queue of a file: loses nothing; `put` waits while it is full.

    Args:
        frames: number of frames that may wait.
        nbytes: size of their images together; a larger image may wait alone.
    """

    def __init__(
        self, frames: int, nbytes: int, clock: Clock | None = None, counter: SourceCounter | None = None
    ) -> None:
        if frames < 1 or nbytes < 1:
            raise ValueError(f"a queue holds at least one frame and one byte, not {frames} and {nbytes}")
        super().__init__(clock, counter)
        self._frames, self._nbytes = frames, nbytes

    def _make_room(self, frame: Frame) -> None:
        while not self._closed and not self._fits(frame):
            self._changed.wait()

    def _fits(self, frame: Frame) -> bool:
        held = sum(waiting.frame.nbytes for waiting in self._waiting)
        return not self._waiting or (len(self._waiting) < self._frames and held + frame.nbytes <= self._nbytes)


class Slot(Generic[T]):
    """A queue of one thing between threads; `put` waits until the one before was got, so that little is held."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._things: list[T] = []  # one at most
        self._next = 0
        self._closed = self._halted = False

    def put(self, number: int, thing: T) -> bool:
        """Hands the thing over when all of lower numbers (from 0) have been; False if nobody will get it."""
        with self._changed:
            self._changed.wait_for(lambda: (number == self._next and not self._things) or self._halted)
            if self._halted:
                return False
            self._next += 1
            self._things.append(thing)
            self._changed.notify_all()
            return True

    def get(self) -> T | None:
        """Waits for the next thing and returns it; None after the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._things or self._closed or self._halted)
            if self._halted or not self._things:
                return None
            self._changed.notify_all()
            return self._things.pop()

    def close(self) -> None:
        """Says that what was put is the last."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def halt(self) -> list[T]:
        """Lets nothing pass any more, and returns what had not been got."""
        with self._changed:
            self._halted = True
            self._changed.notify_all()
            left, self._things = self._things, []
            return left


def _nothing() -> None:
    """Does nothing: nobody listens yet."""


def _every_one(_: Frame) -> bool:
    return True
