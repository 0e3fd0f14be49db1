"""Where the frames of one source wait for their batch: the newest only (live), or all of them in a bounded queue."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition

from msflow_stream.stream.contract import Clock, MonotonicClock, Sampled
from msflow_stream.stream.counters import NEWER_FRAME, SourceCounter
from msflow_stream.types import Frame


class TooLargeError(Exception):
    """The next frame needs more bytes than there is room for."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A frame and the time (on the inbox's clock) from which it waits."""

    frame: Frame
    since: float


class FrameQueue(ABC):
    """One thread puts frames in, another takes them out, any thread may close.

    Closed, it takes no more frames; those that wait can still be taken out.

    Attributes:
        counter: of the source's frames.
        sampled: which of its frames are to be scored; all, if not said otherwise.
        arrived: called after a frame came in or the inbox was closed, without any lock of the inbox.
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
        """Waits or drops until the frame may come in or the inbox is closed, with the lock held."""

    def put(self, frame: Frame) -> bool:
        """Takes a frame in; False if the inbox is closed, or was while the frame waited for room."""
        with self._changed:
            if not self._closed:
                self._make_room(frame)
            if self._closed:
                return False
            self._waiting.append(Waiting(frame, self._clock.now()))
            self.counter.took()
        self.arrived()
        return True

    def take(self, room: int | None = None) -> Waiting | None:
        """The frame that waits longest, at once; None if there is none.

        Args:
            room: bytes that the frame may have; None means any number.

        Raises:
            TooLargeError: the frame is larger than `room` and stays where it is.
        """
        with self._changed:
            if not self._waiting:
                return None
            if room is not None and self._waiting[0].frame.image.nbytes > room:
                raise TooLargeError
            self._changed.notify_all()
            return self._waiting.popleft()

    def close(self, error: Exception | None = None) -> None:
        """The source has ended, with an error if it failed. Only the first call counts."""
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
            self._changed.notify_all()
        self.arrived()

    def discard(self, cause: str) -> None:
        """Closes and gives up what waits."""
        with self._changed:
            self._closed = True
            self.counter.dropped(cause, len(self._waiting))
            self._waiting.clear()
            self._changed.notify_all()
        self.arrived()

    @property
    def ended(self) -> bool:
        """Nothing waits and nothing will."""
        with self._changed:
            return self._closed and not self._waiting

    @property
    def error(self) -> Exception | None:
        """What the source failed with."""
        with self._changed:
            return self._error


class NewestFrame(FrameQueue):
    """For a live source: keeps the newest frame; one that it replaces is dropped and counted."""

    def _make_room(self, frame: Frame) -> None:
        self.counter.dropped(NEWER_FRAME, len(self._waiting))
        self._waiting.clear()


class BoundedQueue(FrameQueue):
    """For a file: loses nothing; `put` waits while it is full.

    Args:
        frames: how many may wait.
        nbytes: of their images together; a larger image may wait alone.
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
        held = sum(waiting.frame.image.nbytes for waiting in self._waiting)
        return not self._waiting or (len(self._waiting) < self._frames and held + frame.image.nbytes <= self._nbytes)


def _nothing() -> None:
    """Nobody listens yet."""


def _every_one(_: Frame) -> bool:
    return True
