"""One source of a running engine: reads its frames into its inbox."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext
from typing import Any

from msflow_stream.stream.inbox import Inbox
from msflow_stream.types import Frame

log = logging.getLogger(__name__)


class Feed:
    """A source, its inbox and what it failed with.

    Args:
        name: of the source.
        frames: iterated, and closed if its iterator can be, by the thread that calls `read`.
        inbox: where the frames go.
        interrupt: asks the source to end while it waits for its next frame; called from other threads.
    """

    def __init__(self, name: str, frames: Iterable[Frame], inbox: Inbox, interrupt: Callable[[], None] | None) -> None:
        self.name, self.inbox = name, inbox
        self._frames, self._interrupt = frames, interrupt
        self._failure: Exception | None = None

    @property
    def error(self) -> Exception | None:
        """The first thing that went wrong with the source: when its frames were scored or delivered, or read."""
        return self._failure or self.inbox.error

    @property
    def failed_later(self) -> bool:
        """Whether it failed after its frames were read, so that those on their way are given up."""
        return self._failure is not None

    def read(self) -> None:
        """Reads until the source ends or the inbox is closed, then closes it, with the error if the source failed.

        What is no Exception comes through with the inbox open: closed, it might be the last source of a run, which
        would end well before it hears of this.
        """
        try:
            self._pour()
        except Exception as error:
            self.inbox.close(error)
        else:
            self.inbox.close()

    def _pour(self) -> None:
        last = -1
        iterator: Any = iter(self._frames)
        with closing(iterator) if hasattr(iterator, "close") else nullcontext():
            for frame in iterator:
                if frame.index <= last:
                    raise ValueError(f"{self.name}: frame {frame.index} comes after frame {last}")
                last = frame.index
                if not self.inbox.put(frame):
                    return

    def shut(self) -> None:
        """Takes no more frames; those that wait stay."""
        self.inbox.close()
        if self._interrupt is None:
            return
        try:
            self._interrupt()
        except Exception:
            log.exception("%s: could not be interrupted", self.name)

    def fail(self, error: Exception, cause: str) -> None:
        """Gives up what waits, because a frame of this source could not be scored or delivered."""
        self._failure = self._failure or error
        self.inbox.discard(cause)
        self.shut()
