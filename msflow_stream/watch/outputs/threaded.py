"""Runs a slow sink in a thread of its own, so that it never holds up the camera it belongs to."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from collections.abc import Mapping

from msflow_stream.logs import redact
from msflow_stream.types import Frame, FrameScore, ScoreRow
from msflow_stream.watch.outputs.sink import Sink

logger = logging.getLogger(__name__)

Item = tuple[Frame, FrameScore, ScoreRow]
SLOW, BUG, CLOSED = "slow", "bug", "closed"  # why an item never reached the sink


class ThreadedSink:
    """A sink behind a small queue; itself a sink, whose `take` returns at once.

    When the queue is full the oldest item in it is dropped. A sink that raises is closed for good, and what comes for
    it later is dropped: the program goes on without it.
    """

    def __init__(self, sink: Sink, capacity: int = 4, name: str | None = None) -> None:
        """Starts the thread.

        Args:
            capacity: items that wait at most.
            name: for messages, such as "gate recorder".
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._sink, self._capacity = sink, capacity
        self._name = name or type(sink).__name__
        self._waiting: deque[Item] = deque()
        self._changed = threading.Condition()
        self._dropped = dict.fromkeys((SLOW, BUG, CLOSED), 0)
        self._closing = self._broken = False
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Items that never reached the sink."""
        with self._changed:
            return sum(self._dropped.values())

    @property
    def losses(self) -> Mapping[str, int]:
        """The sink's own losses and the outlet's."""
        with self._changed:
            return {**self._sink.losses, **self._dropped}

    def take(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        """Hands a frame to the sink's thread."""
        with self._changed:
            if self._broken or self._closing:
                self._dropped[BUG if self._broken else CLOSED] += 1
                return
            if len(self._waiting) == self._capacity:
                self._waiting.popleft()
                self._dropped[SLOW] += 1
            self._waiting.append((frame, score, row))
            self._changed.notify_all()

    def close(self, timeout: float = 5.0) -> None:
        """Lets the sink take what waits and closes it, for so many seconds; twice is fine.

        A sink that needs longer is left behind with its thread, which does not hold up the program's end.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            return
        with self._changed:
            left = len(self._waiting)
            self._waiting.clear()
            self._dropped[SLOW] += left
        logger.warning("%s does not end within %g s and is left behind; %d frames dropped", self._name, timeout, left)

    def _run(self) -> None:
        """The thread of the sink."""
        while (item := self._next()) is not None:
            try:
                self._sink.take(*item)
            except Exception as error:
                self._break(error, 1)
                break
        try:
            self._sink.close()
        except Exception as error:
            self._break(error, 0)

    def _next(self) -> Item | None:
        """Waits for an item; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return self._waiting.popleft() if self._waiting else None

    def _break(self, error: Exception, lost: int) -> None:
        """Counts what no longer reaches the sink, and says why, once."""
        with self._changed:
            if self._broken:
                return
            self._broken = True
            self._dropped[BUG] += lost + len(self._waiting)
            self._waiting.clear()
        trace = "".join(redact(line) for line in traceback.format_exception(error))
        logger.error("%s has failed (internal error) and is switched off; all else goes on:\n%s", self._name, trace)
