"""The contract of all sinks, which write the scored frames of one camera."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from msflow_stream.stream.threads import ThreadedQueue
from msflow_stream.types import Frame, FrameScore, ScoreRow


class Sink(Protocol):
    """A sink of the scored frames of one source, in their order, from one thread at a time.

    What goes wrong while it runs (a full disk, a server that is away) is never raised: it is logged once, what is lost
    is counted by its cause, and the sink goes on when it can.
    """

    @property
    def losses(self) -> Mapping[str, int]:
        """The number of frames not in its output, by cause; all causes are there from the start. From any thread."""
        ...

    def write(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        """Writes one scored frame; the image stays as it is."""
        ...

    def close(self) -> None:
        """Finishes the output; twice is fine. Nothing is written after it."""
        ...


def arrival(score: FrameScore) -> datetime:
    """Returns when a frame arrived, in UTC; a frame of a file arrives when it is scored."""
    return (score.wall or datetime.now(UTC)).astimezone(UTC)


class ThreadedSink:
    """A sink behind a small queue; itself a sink, whose `write` returns at once.

    When the queue is full the oldest frame in it is dropped. A sink that raises is closed for good, and what comes for
    it later is dropped: the program goes on without it.
    """

    def __init__(self, sink: Sink, capacity: int = 4, name: str | None = None) -> None:
        """Starts the thread.

        Args:
            sink: used by the thread alone from now on.
            capacity: frames that wait at most.
            name: name in messages, such as "gate recorder".
        """
        self._sink = sink
        self._queue: ThreadedQueue[tuple[Frame, FrameScore, ScoreRow]] = ThreadedQueue(
            lambda item: sink.write(*item), sink.close, name or type(sink).__name__, capacity
        )

    @property
    def losses(self) -> Mapping[str, int]:
        """The sink's own losses, and the frames that never reached it."""
        return {**self._sink.losses, **self._queue.dropped}

    def write(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        """Hands a frame to the sink's thread."""
        self._queue.put((frame, score, row))

    def close(self, timeout: float = 5.0) -> None:
        """Lets the sink write what waits and closes it, within so many seconds; twice is fine.

        A sink that needs longer is left behind with its thread, which does not hold up the program's end.
        """
        self._queue.close(timeout)
