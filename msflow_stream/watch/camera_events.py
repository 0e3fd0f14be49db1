"""The events of one watched camera: found, remembered in case of a crash, published, and kept with their evidence."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from msflow_stream.events.detection.detector import EventDetector
from msflow_stream.events.evidence.thread import ThreadedEvidence
from msflow_stream.events.recovery import OpenEventJournal
from msflow_stream.series import SmoothedScore
from msflow_stream.types import EventMessage, Frame, FrameScore, ScoreRow
from msflow_stream.video.drawing.overlay import OverlayStyle
from msflow_stream.watch.event_router import EventRouter

log = logging.getLogger(__name__)

JOURNAL = ".open-events.json"


class CameraEvents:
    """The events of one camera. What an earlier run left open is closed at the start.

    Args:
        name: name of the camera.
        folder: the folder of what is written of the camera.
        router: the router that the messages of events go to.
        evidence: the evidence that the frames go to, None for none.

    Attributes:
        open_event: the id of the event that lasts; None where none does.
    """

    open_event: str | None = None

    def __init__(self, name: str, folder: Path, router: EventRouter, evidence: ThreadedEvidence | None) -> None:
        self._name, self._router, self._evidence = name, router, evidence
        self._journal = OpenEventJournal(folder / JOURNAL)
        self._detector: EventDetector | None = None
        for message in self._journal.left_open:
            log.info("%s: event %s was open when the program ended", name, message.event.id)
            self._send(message)

    def write(
        self,
        frame: Frame,
        drawn: FrameScore,
        scored: SmoothedScore,
        row: ScoreRow,
        style: OverlayStyle,
        detector: EventDetector,
    ) -> None:
        """Follows the next scored frame; another detector than before is for another scene, and begins anew.

        Args:
            frame: as evidence may show it.
            drawn: its score as it may be drawn on it.
            scored: its score as it is.
        """
        if detector is not self._detector:
            self._end()
            self._detector = detector
            if self._evidence is not None:
                self._evidence.restyle(style)
        height, width = frame.shape[:2]
        detector.size = (width, height)
        messages = detector.update(scored)
        self._journal.remember(detector.open_event)
        if self._evidence is not None:
            self._evidence.write(frame, drawn, row)
        for message in messages:
            self._send(message)

    def _send(self, message: EventMessage) -> None:
        self.open_event = None if message.kind == "close" else message.event.id
        if self._evidence is not None:
            self._evidence.event(message)
        if self._router.publish(message, self._name):
            self._journal.forget(message)

    def _end(self) -> None:
        if self._detector is not None:
            for message in self._detector.close():
                self._send(message)

    @property
    def losses(self) -> Mapping[str, int]:
        """The number of things that the evidence lacks, by cause."""
        return {} if self._evidence is None else self._evidence.losses

    def close(self, timeout: float) -> None:
        """Ends an open event: there is no more of the source. Twice is fine."""
        self._end()
        self._detector = None
        if self._evidence is not None:
            self._evidence.close(timeout)
