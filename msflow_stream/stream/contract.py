"""What an engine and its user agree on: the callables, the bounds, and how to say that an error is one source's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Condition
from typing import Protocol

from msflow_stream.types import Frame, FrameScore

Sampled = Callable[[Frame], bool]  # whether a frame of a source is to be scored, or only travels along


Score = Callable[[Sequence[tuple[str, Frame]]], Sequence[FrameScore]]  # (source, frame) of a batch -> in its order


Deliver = Callable[[str, Frame, FrameScore | None], None]  # source, frame, its score if it is sampled


Ended = Callable[[str, Exception | None], None]  # source, what it failed with


class SourceError(Exception):
    """Raised by `score` or `deliver`: what went wrong belongs to this source, the others can go on.

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
    """How much an engine holds, and for how long.

    Attributes:
        batch: sampled frames of a batch at most.
        batch_bytes: of the images of a batch at most, those that travel along included.
        wait: seconds that an incomplete batch waits from its first frame on.
        queue_frames, queue_bytes: of each file, that wait to be scored.
        grace: seconds that a run which is over waits for its threads to leave `score`, `deliver` and the sources.
    """

    batch: int = 8
    batch_bytes: int = 256 * 2**20
    wait: float = 0.05
    queue_frames: int = 16
    queue_bytes: int = 256 * 2**20
    grace: float = 1.0


class Clock(Protocol):
    """Seconds from some start, and a wait that ends by them."""

    def now(self) -> float:
        """Seconds; never goes back."""
        ...

    def wait(self, condition: Condition, until: float | None) -> None:
        """Waits, with the lock of `condition` held, for a notification or until a time; may return early.

        Args:
            until: on this clock, in seconds; None waits for a notification only.
        """
        ...


class MonotonicClock:
    """The machine's own, unmoved by corrections of the date."""

    def now(self) -> float:
        return time.monotonic()

    def wait(self, condition: Condition, until: float | None) -> None:
        condition.wait(None if until is None else max(0.0, until - self.now()))
