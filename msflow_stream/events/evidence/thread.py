"""The evidence of events written beside the scoring, for cameras and for files alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from msflow_stream.events.evidence.recorder import EvidenceWriter
from msflow_stream.stream.threads import ThreadedQueue
from msflow_stream.types import EventMessage, Frame, FrameScore, ScoreRow
from msflow_stream.video.drawing.overlay import OverlayStyle

MOST_FRAMES = 8  # that wait for a slow disk; then the oldest is not in the evidence


class ThreadedEvidence:
    """An EvidenceWriter in a thread of its own, so that a slow disk delays no score.

    Where the disk is too slow frames are dropped, and counted; messages never are. Where nothing may be lost, as of a
    file, `write` waits instead.
    """

    def __init__(self, writer: EvidenceWriter, name: str, lossless: bool = False) -> None:
        self._writer = writer
        self._queue: ThreadedQueue[tuple[Frame, FrameScore, ScoreRow] | EventMessage] = ThreadedQueue(
            self._write, writer.close, f"{name} evidence", MOST_FRAMES, lossless
        )

    def write(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        """Hands on a scored frame."""
        self._queue.put((frame, score, row))

    def event(self, message: EventMessage) -> None:
        """Hands on a message about an event."""
        self._queue.put(message, required=True)

    def restyle(self, style: OverlayStyle) -> None:
        """Sets how the events that begin from now on are drawn."""
        self._writer.style = style

    @property
    def losses(self) -> Mapping[str, int]:
        """Frames and files that are missing, by cause."""
        return Counter(self._writer.losses) + Counter(self._queue.dropped)

    def close(self, timeout: float | None = None) -> None:
        """Lets the writer write what waits and ends it, within so many seconds, or in its own time; twice is fine."""
        self._queue.close(timeout)

    def _write(self, item: tuple[Frame, FrameScore, ScoreRow] | EventMessage) -> None:
        if isinstance(item, EventMessage):
            self._writer.event(item)
        else:
            self._writer.write(*item)
