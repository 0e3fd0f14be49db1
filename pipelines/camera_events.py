"""The events of one watched camera: found, remembered in case of a crash, told, and kept with pictures."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Condition, Thread

from msflow_stream.events.detector import EventDetector
from msflow_stream.events.evidence.writer import EvidenceWriter
from msflow_stream.events.journal import Journal
from msflow_stream.results import ScoreRow
from msflow_stream.types import EventMessage, Frame, FrameScore
from msflow_stream.video.overlay import OverlayStyle

log = logging.getLogger(__name__)

JOURNAL, EVIDENCE = ".open-events.json", "events"
MOST_FRAMES = 8  # that wait for a slow disk; then the oldest is not in the evidence

Publish = Callable[[EventMessage, str], None]  # a message, and the camera that it is about


class CameraEvents:
    """Follows one camera. What an earlier run left open is closed at the start.

    Args:
        name: of the camera.
        folder: of what is written of it.
        publish: tells everyone who wants to hear it; returns at once.
        evidence: where the pictures go, None for nowhere.
    """

    def __init__(self, name: str, folder: Path, publish: Publish, evidence: EvidenceThread | None) -> None:
        self._name, self._publish, self._evidence = name, publish, evidence
        self._journal = Journal(folder / JOURNAL)
        self._detector: EventDetector | None = None
        for message in self._journal.left_open:
            log.info("%s: event %s was open when the program ended", name, message.event.id)
            self._send(message)

    def take(
        self, detector: EventDetector, style: OverlayStyle, frame: Frame, score: FrameScore, row: ScoreRow
    ) -> None:
        """Takes the next scored frame; another detector than before is for another scene, and begins anew."""
        if detector is not self._detector:
            self._end()
            self._detector = detector
            if self._evidence is not None:
                self._evidence.restyle(style)
        height, width = frame.image.shape[:2]
        detector.size = (width, height)
        messages = detector.update(score)
        self._journal.remember(detector.standing)
        if self._evidence is not None:
            self._evidence.take(frame, score, row)
        for message in messages:
            self._send(message)

    def _send(self, message: EventMessage) -> None:
        if self._evidence is not None:
            self._evidence.event(message)
        self._publish(message, self._name)
        self._journal.forget(message)

    def _end(self) -> None:
        if self._detector is not None:
            for message in self._detector.close():
                self._send(message)

    @property
    def losses(self) -> Mapping[str, int]:
        """What the evidence lacks, by cause."""
        return {} if self._evidence is None else self._evidence.losses

    def close(self, timeout: float) -> None:
        """Ends an open event: there is no more of the source. Twice is fine."""
        self._end()
        self._detector = None
        if self._evidence is not None:
            self._evidence.close(timeout)


class EvidenceThread:
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

    def close(self, timeout: float) -> None:
        """Lets the writer take what waits and ends it, within so many seconds; twice is fine."""
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
