"""Evidence of events written beside the scoring, for cameras and for files alike."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Mapping
from threading import Condition, Thread

from msflow_stream.events.evidence.recorder import EvidenceWriter
from msflow_stream.types import EventMessage, Frame, FrameScore, ScoreRow
from msflow_stream.video.drawing.overlay import OverlayStyle

log = logging.getLogger(__name__)


MOST_FRAMES = 8  # that wait for a slow disk; then the oldest is not in the evidence


class ThreadedEvidence:
    """Runs an EvidenceWriter in a thread of its own, so that a slow disk delays no score.

    Where the disk is too slow frames are dropped, and counted; messages never are. Where nothing may be lost, as of a
    file, `take` waits instead.
    """

    def __init__(self, writer: EvidenceWriter, name: str, lossless: bool = False) -> None:
        self._writer, self._lossless = writer, lossless
        self._changed = Condition()
        self._waiting: deque[tuple[Frame, FrameScore, ScoreRow] | EventMessage] = deque()
        self._frames = 0
        self._dropped: Counter[str] = Counter()
        self._closing = self._broken = False
        self._thread = Thread(target=self._run, name=f"{name} evidence", daemon=True)
        self._thread.start()

    def take(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        """Hands on a scored frame."""
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: self._frames < MOST_FRAMES or self._broken or self._closing)
            if self._broken:
                self._dropped["bug"] += 1
                return
            if self._frames >= MOST_FRAMES:
                del self._waiting[next(place for place, one in enumerate(self._waiting) if isinstance(one, tuple))]
                self._frames -= 1
                self._dropped["slow"] += 1
            self._waiting.append((frame, score, row))
            self._frames += 1
            self._changed.notify_all()

    def restyle(self, style: OverlayStyle) -> None:
        """Events that begin from now on are drawn so."""
        self._writer.style = style

    def event(self, message: EventMessage) -> None:
        """Hands on what is said of an event."""
        with self._changed:
            if self._broken:
                return
            self._waiting.append(message)
            self._changed.notify_all()

    @property
    def losses(self) -> Mapping[str, int]:
        """What is missing, by cause."""
        with self._changed:
            return Counter(self._writer.losses) + self._dropped

    def close(self, timeout: float | None = None) -> None:
        """Lets the writer take what waits and ends it, within so many seconds, or in its own time; twice is fine."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                if isinstance(item, EventMessage):
                    self._writer.event(item)
                else:
                    self._writer.take(*item)
        except Exception:
            log.exception("%s has failed (internal error) and is switched off; all else goes on", self._thread.name)
            with self._changed:
                self._broken = True
                self._waiting.clear()
        finally:
            self._writer.close()

    def _next(self) -> tuple[Frame, FrameScore, ScoreRow] | EventMessage | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._frames -= isinstance(item, tuple)
            self._changed.notify_all()
            return item
