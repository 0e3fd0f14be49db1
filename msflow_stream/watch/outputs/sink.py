"""The contract of all sinks, which write the scored frames of one camera."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

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
