"""What is kept of one event while it lasts: its clip, its overlay, its pictures, and what is said of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from msflow_stream.events.evidence.copied_clip import EventClip, cut, guarded
from msflow_stream.events.evidence.event_folder import OVERLAY, ClipFile, EventRecord
from msflow_stream.events.evidence.frame_clip import FrameClip, write_snapshots
from msflow_stream.events.evidence.recent_frames import Recent, RecentFrame
from msflow_stream.events.evidence.settings import EvidenceSettings
from msflow_stream.types import EventMessage
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle
from msflow_stream.video.packets.packet_ring import PacketRing


class EventOverlay:
    """Writes overlay.mp4; what the disk does to it is noted, not raised."""

    def __init__(self, record: EventRecord, style: OverlayStyle, settings: EvidenceSettings) -> None:
        self._record, self._style, self._settings = record, style, settings
        self._clip = FrameClip(record.folder, OVERLAY, settings.rate_hint, settings.max_seconds)
        self._drawing: Overlay | None = None

    @property
    def parts(self) -> list[ClipFile]:
        """Its file, if there is one."""
        return self._clip.parts

    def take(self, scored: RecentFrame, image: npt.NDArray[np.uint8]) -> None:
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


PATIENCE = 5.0  # seconds of scored frames beyond the clips' end, after which packets are waited for no longer


class Evidence:
    """Fills the folder of one event. What the disk does to it is counted and noted, not raised.

    Attributes:
        over: the event has ended, and all there is to show of it is in its clips.
    """

    def __init__(
        self,
        record: EventRecord,
        recent: Recent,
        packets: PacketRing | None,
        style: OverlayStyle,
        settings: EvidenceSettings,
    ) -> None:
        """Begins with the frames and packets from before the event."""
        self._record, self._recent, self._style, self._settings = record, recent, style, settings
        self._peak: int | None = None  # index of the frame in the snapshots
        self.over = False
        begin = record.message.event.start - settings.pre_roll
        self._clip = EventClip(record, begin, recent, packets, settings)
        self._overlay = EventOverlay(record, style, settings)
        now = begin
        for scored in recent.since(begin):
            self._overlay.take(scored, scored.image())
            now = scored.time
        self._clip.advance(now)
        self._take_snapshots()
        self._save()

    @property
    def done(self) -> bool:
        """Nothing is left to be written, not even in event.json."""
        return self.over and self._record.written

    def say(self, message: EventMessage) -> None:
        """Notes how the event stands now; a message that is older than what is known changes nothing."""
        if self._record.update(message):
            self._take_snapshots()
            self._save()

    def take(self, scored: RecentFrame, image: npt.NDArray[np.uint8]) -> None:
        """Takes the next scored frame, with its picture."""
        if self.over:
            self._save()
            return
        self._overlay.take(scored, image)
        self._clip.take(scored, image)
        self._take_snapshots()
        beyond = scored.time - self._record.until(self._settings.post_roll)
        if beyond > 0 and (not self._clip.waits or beyond > PATIENCE):
            self.finish()
        else:
            self._save()

    def finish(self) -> None:
        """Ends all files as they are; twice is fine."""
        self.over = True
        self._clip.finish()
        self._overlay.finish()
        self._save(force=True)

    def _save(self, force: bool = False) -> None:
        self._record.save(self._clip.parts, self._overlay.parts, self.over, force)

    def _take_snapshots(self) -> None:
        index = self._record.message.event.peak_index
        peak = None if index == self._peak else self._recent.find(index)
        if peak is None:
            return
        self._peak = index
        before = [one for one in self._recent.since(peak.time - self._style.history) if one.time < peak.time]
        try:
            write_snapshots(self._record.folder, peak, before, self._style)
        except OSError as error:
            self._record.lose("the snapshot", error)
