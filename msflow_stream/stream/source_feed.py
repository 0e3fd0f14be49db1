"""One source of a run, whose frames are read into its queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext
from typing import Any

from msflow_stream.stream.queues import FrameQueue
from msflow_stream.types import Frame

log = logging.getLogger(__name__)


class SourceFeed:
    """A source, its queue and the error that it failed with.

    One thread puts its frames in, either by `read`, or by `put` as they come and `close` at their end.

    Args:
        name: name of the source.
        queue: the queue that the frames go to.
        interrupt: asks the source to end while it waits for its next frame; called from other threads.
    """

    def __init__(self, name: str, queue: FrameQueue, interrupt: Callable[[], None] | None) -> None:
        self.name, self.queue = name, queue
        self._interrupt, self._last = interrupt, -1
        self._failure: Exception | None = None

    @property
    def error(self) -> Exception | None:
        """The first thing that went wrong with the source: when its frames were scored or delivered, or read."""
        return self._failure or self.queue.error

    @property
    def failed_later(self) -> bool:
        """True if it failed after its frames were read, so that those on their way are given up."""
        return self._failure is not None

    def put(self, frame: Frame) -> bool:
        """Takes the source's next frame; False if it takes no more.

        Raises:
            ValueError: the frame's index is not above that of the one before.
        """
        if frame.index <= self._last:
            raise ValueError(f"{self.name}: frame {frame.index} comes after frame {self._last}")
        self._last = frame.index
        return self.queue.put(frame)

    def close(self, error: Exception | None = None) -> None:
        """Says that what was put is the last, with an error if the source failed."""
        self.queue.close(error)

    def read(self, frames: Iterable[Frame]) -> None:
        """Reads until the source ends or the queue is closed, then closes it, with the error if the source failed.

        The iterator is closed too, if it can be. What is no Exception comes through with the queue open: closed, it
        might be the last source of a run, which would end well before it hears of this.
        """
        try:
            self._pour(frames)
        except Exception as error:
            self.close(error)
        else:
            self.close()

    def _pour(self, frames: Iterable[Frame]) -> None:
        iterator: Any = iter(frames)
        with closing(iterator) if hasattr(iterator, "close") else nullcontext():
            for frame in iterator:
                if not self.put(frame):
                    return

    def shut(self) -> None:
        """Takes no more frames; those that wait stay."""
        self.queue.close()
        if self._interrupt is None:
            return
        try:
            self._interrupt()
        except Exception:
            log.exception("%s: could not be interrupted", self.name)

    def fail(self, error: Exception, cause: str) -> None:
        """Gives up what waits, because a frame of this source could not be scored or delivered."""
        self._failure = self._failure or error
        self.queue.discard(cause)
        self.shut()
