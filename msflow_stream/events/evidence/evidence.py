"""The evidence of one event while it lasts: its clip, its overlay, its snapshots and its event.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msflow_stream.events.evidence.event_clips import EventClip, EventOverlay, EvidenceSettings
from msflow_stream.events.evidence.event_folder import SNAPSHOT, SNAPSHOT_OVERLAY, EventRecord
from msflow_stream.events.evidence.recent_frames import RecentFrame, RecentFrames
from msflow_stream.files import replaced
from msflow_stream.types import EventMessage, Image, Pixels
from msflow_stream.video.drawing.jpeg import to_jpeg
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle
from msflow_stream.video.packets.packet_ring import PacketRing

PATIENCE = 5.0  # seconds of scored frames beyond the clips' end, after which packets are waited for no longer


class Evidence:
    """Fills the folder of one event; what the disk does to it is counted and noted, not raised.

    Attributes:
        over: the event has ended, and all there is to show of it is in its clips.
    """

    def __init__(
        self,
        record: EventRecord,
        recent: RecentFrames,
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
            self._overlay.write(scored, scored.pixels())
            now = scored.time
        self._clip.advance(now)
        self._update_snapshots()
        self._save()

    @property
    def done(self) -> bool:
        """True when nothing is left to be written, not even in event.json."""
        return self.over and self._record.written

    def update(self, message: EventMessage) -> None:
        """Notes how the event is now; a message that is older than what is known changes nothing."""
        if self._record.update(message):
            self._update_snapshots()
            self._save()

    def write(self, scored: RecentFrame, pixels: Image | Pixels) -> None:
        """Adds the next scored frame, with its pixels."""
        if self.over:
            self._save()
            return
        self._overlay.write(scored, pixels)
        self._clip.write(scored, pixels)
        self._update_snapshots()
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

    def _update_snapshots(self) -> None:
        index = self._record.message.event.peak_index
        peak = None if index == self._peak else self._recent.find(index)
        if peak is None:
            return
        self._peak = index
        before = [one for one in self._recent.since(peak.time - self._style.history) if one.time < peak.time]
        try:
            _write_snapshots(self._record.folder, peak, before, self._style)
        except OSError as error:
            self._record.count_loss("the snapshot", error)


def _write_snapshots(folder: Path, peak: RecentFrame, before: Sequence[RecentFrame], style: OverlayStyle) -> None:
    """Replaces both snapshots; `before` are the frames that the overlay's timeline shows.

    Raises:
        OSError: they cannot be written.
    """
    image = peak.image()
    with replaced(folder / SNAPSHOT) as partial:
        partial.write_bytes(to_jpeg(image))
    with replaced(folder / SNAPSHOT_OVERLAY) as partial:
        partial.write_bytes(to_jpeg(_drawn(image, peak, before, style)))


def _drawn(image: Image, peak: RecentFrame, before: Sequence[RecentFrame], style: OverlayStyle) -> Image:
    overlay = Overlay(style)
    for one in before:
        overlay.remember(one.time, one.row.smoothed, image.shape[1])
    return overlay.draw(image, peak.score, peak.row.smoothed, peak.time, alarm=bool(peak.row.alarm))
