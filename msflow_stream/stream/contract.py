"""The contract of a stream with its user: the callables, the bounds, and the error that is one source's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Condition
from typing import Protocol

from msflow_stream.types import Frame, FrameScore

Score = Callable[[Sequence[tuple[str, Frame]]], Sequence[FrameScore]]  # (source, frame) of a batch -> in its order
Deliver = Callable[[str, Frame, FrameScore | None], None]  # source, frame, its score if it is sampled
Ended = Callable[[str, Exception | None], None]  # source, the error that it failed with
Sampled = Callable[[Frame], bool]  # whether a frame of a source is to be scored, or only travels along


class SourceError(Exception):
    """An error that `score` or `deliver` raises when it belongs to one source, so that the others can go on.

    The source ends with the error that this one was raised from or, without one, with this one.
    """

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"{source}: {message}")
        self.source = source

    @property
    def original(self) -> Exception:
        """The error that this one was raised from, or this one."""
        return self.__cause__ if isinstance(self.__cause__, Exception) else self


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds on what a stream holds, and for how long.

    Attributes:
        batch: sampled frames of a batch at most.
        batch_bytes: size of the images of a batch at most, those that travel along included.
        wait: seconds that an incomplete batch waits from its first frame on.
        queue_frames, queue_bytes: frames of each file, and the size of their images, that wait to be scored.
        scorers: batches that are scored at a time, each by a thread of its own: where something else than the thread
            computes, it gets the next batch while the thread looks at the one before.
        grace: seconds that a run which is over waits for its threads to leave `score`, `deliver` and the sources.
    """

    batch: int = 8
    batch_bytes: int = 256 * 2**20
    wait: float = 0.05
    queue_frames: int = 16
    queue_bytes: int = 256 * 2**20
    scorers: int = 1
    grace: float = 1.0


class Clock(Protocol):
    """A clock: seconds from some start, and a wait that ends by them."""

    def now(self) -> float:
        """Returns seconds; never goes back."""
        ...

    def wait(self, condition: Condition, until: float | None) -> None:
        """Waits, with the lock of `condition` held, for a notification or until a time; may return early.

        Args:
            until: on this clock, in seconds; None waits for a notification only.
        """
        ...


class MonotonicClock:
    """The machine's own clock, unmoved by corrections of the date."""

    def now(self) -> float:
        """Returns the seconds of `time.monotonic`."""
        return time.monotonic()

    def wait(self, condition: Condition, until: float | None) -> None:
        """Waits for a notification or until a time."""
        condition.wait(None if until is None else max(0.0, until - self.now()))
