"""An event's overlay clip: the scored frames of the same span, drawn on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from msflow_stream.events.evidence.event_clip import cut, guarded
from msflow_stream.events.evidence.event_folder import OVERLAY
from msflow_stream.events.evidence.frame_clip import PictureClip
from msflow_stream.events.evidence.parts import Part
from msflow_stream.events.evidence.recent_frames import Scored
from msflow_stream.events.evidence.record import Record
from msflow_stream.events.evidence.settings import EvidenceSettings
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle


class EventOverlay:
    """Writes overlay.mp4; what the disk does to it is noted, not raised."""

    def __init__(self, record: Record, style: OverlayStyle, settings: EvidenceSettings) -> None:
        self._record, self._style, self._settings = record, style, settings
        self._clip = PictureClip(record.folder, OVERLAY, settings.rate_hint, settings.max_seconds)
        self._drawing: Overlay | None = None

    @property
    def parts(self) -> list[Part]:
        """Its file, if there is one."""
        return self._clip.parts

    def take(self, scored: Scored, image: npt.NDArray[np.uint8]) -> None:
        """Takes the next scored frame, with its picture."""
        if self._clip.over or scored.time > self._record.until(self._settings.post_roll):
            return
        if self._drawing is None:
            self._drawing = Overlay(self._style, image.shape[1], image.shape[0])
        row = scored.row
        drawn = self._drawing.draw(image, scored.score, row.smoothed, scored.time, alarm=bool(row.alarm))
        guarded(self._record, OVERLAY, self._clip, lambda: self._clip.write(drawn, scored.time))
        if self._clip.cut_short:
            self._record.note(cut(OVERLAY, self._settings))

    def finish(self) -> None:
        """Ends it as it is; twice is fine."""
        if not self._clip.over:
            guarded(self._record, OVERLAY, self._clip, self._clip.finish)
