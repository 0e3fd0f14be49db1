"""The clip and the overlay of one event, and the settings of how much is kept of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from msflow_stream.events.evidence.copied_clip import CopiedClip
from msflow_stream.events.evidence.event_folder import CLIP, OVERLAY, ClipFile, EventRecord
from msflow_stream.events.evidence.frame_clip import FrameClip
from msflow_stream.events.evidence.recent_frames import RecentFrame, RecentFrames
from msflow_stream.types import Image, Pixels, UserError
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle
from msflow_stream.video.packets.packet_ring import PacketRing
from msflow_stream.video.packets.stream_copy import CopyError
from msflow_stream.video.pixels import planar
from msflow_stream.video.reading.colour import FrameConverter

LATE = 10.0  # seconds that an event may be known after it began


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    """The amount that is kept of an event; times in seconds.

    Attributes:
        pre_roll, post_roll: what a clip shows before the event's start and behind its end.
        max_seconds: a clip ends there, even if the event goes on.
        recent_bytes: memory for the scored frames of the last seconds.
        retry_seconds: from a failure of the disk to the next attempt.
        rate_hint: about how many scored frames a second come.
        no_packets: why no packets are copied, where there are none.
    """

    pre_roll: float = 5.0
    post_roll: float = 5.0
    max_seconds: float = 120.0
    recent_bytes: int = 32 * 2**20
    retry_seconds: float = 10.0
    rate_hint: float = 5.0
    no_packets: str = "there are no packets"

    @property
    def memory_seconds(self) -> float:
        """Seconds that packets and frames are kept: `PacketRing` and `FilePackets` are made with it."""
        return self.pre_roll + LATE


class EventClip:
    """The clip of one event, copied packets or scored frames; what the disk does to it is noted, not raised."""

    def __init__(
        self,
        record: EventRecord,
        begin: float,
        recent: RecentFrames,
        packets: PacketRing | None,
        settings: EvidenceSettings,
    ) -> None:
        """Prepares a clip that shows what was from `begin` on."""
        self._record, self._begin, self._recent, self._settings = record, begin, recent, settings
        self._packets, self._converter = packets, FrameConverter()
        self._copied: CopiedClip | None = None
        self._coded: FrameClip | None = None
        if packets is not None and packets.obstacle is None:
            self._copied = CopiedClip(record.folder, packets, begin, settings.max_seconds)
        else:
            self._code_anew(settings.no_packets if packets is None else packets.obstacle or "")

    @property
    def parts(self) -> list[ClipFile]:
        """The files so far."""
        return [part for clip in (self._copied, self._coded) if clip is not None for part in clip.parts]

    @property
    def waits(self) -> bool:
        """True while packets are still to come, beyond the last frame."""
        return self._copied is not None and not self._copied.over

    def write(self, scored: RecentFrame, pixels: Image | Pixels) -> None:
        """Adds the next scored frame with its pixels, and the packets that came."""
        until = self._record.until(self._settings.post_roll)
        if self._coded is not None and scored.time <= until:
            self._write_frame(self._coded, pixels, scored.time)
        self.advance(scored.time)

    def advance(self, now: float) -> None:
        """Copies the packets that were shown before `now`."""
        until = self._record.until(self._settings.post_roll)
        clip, packets = self._copied, self._packets
        if clip is None or clip.over or packets is None:
            return
        missed = clip.missed
        obstacle = _guarded(self._record, CLIP, clip, lambda: clip.advance(until, now))
        if obstacle is None and not clip.over:
            obstacle = packets.obstacle
        self._record.losses["slow"] += clip.missed - missed
        if clip.cut_short:
            self._record.note(_too_long(CLIP, self._settings))
        if obstacle is not None:
            clip.abandon()
            self._code_anew(obstacle)

    def finish(self) -> None:
        """Ends the clip as it is; twice is fine."""
        until = self._record.until(self._settings.post_roll)
        if self._packets is not None and self.waits:
            if math.isfinite(until):
                self._packets.catch_up(until)
            self.advance(math.inf)
        for clip in (self._copied, self._coded):
            if clip is not None and not clip.over:
                _guarded(self._record, CLIP, clip, clip.finish)
        if self._copied is not None and self._coded is None and not self.parts:
            self._record.note("there is no clip: no packets of its time were at hand")

    def _code_anew(self, why: str) -> None:
        """Puts scored frames in the place of packets, from here on and as far back as they go."""
        self._record.note(f"the {CLIP} is made of scored frames: {why}")
        begin = max([self._begin, *(part.end for part in self.parts)])
        self._coded = FrameClip(self._record.folder, CLIP, self._settings.rate_hint, self._settings.max_seconds)
        for scored in self._recent.since(begin):
            if scored.time <= self._record.until(self._settings.post_roll):
                self._write_frame(self._coded, scored.pixels(), scored.time)

    def _write_frame(self, clip: FrameClip, pixels: Image | Pixels, time: float) -> None:
        _guarded(self._record, CLIP, clip, lambda: clip.write(planar(pixels, self._converter), time))
        if clip.cut_short:
            self._record.note(_too_long(CLIP, self._settings))


class EventOverlay:
    """The overlay of one event; what the disk does to it is noted, not raised."""

    def __init__(self, record: EventRecord, style: OverlayStyle, settings: EvidenceSettings) -> None:
        self._record, self._overlay, self._settings = record, Overlay(style), settings
        self._clip = FrameClip(record.folder, OVERLAY, settings.rate_hint, settings.max_seconds)

    @property
    def parts(self) -> list[ClipFile]:
        """The file, if there is one."""
        return self._clip.parts

    def write(self, scored: RecentFrame, pixels: Image | Pixels) -> None:
        """Adds the next scored frame, with its pixels."""
        if self._clip.over or scored.time > self._record.until(self._settings.post_roll):
            return
        row = scored.row
        drawn = self._overlay.draw_planar(pixels, scored.score, row.smoothed, scored.time, alarm=bool(row.alarm))
        _guarded(self._record, OVERLAY, self._clip, lambda: self._clip.write(drawn, scored.time))
        if self._clip.cut_short:
            self._record.note(_too_long(OVERLAY, self._settings))

    def finish(self) -> None:
        """Ends the overlay as it is; twice is fine."""
        if not self._clip.over:
            _guarded(self._record, OVERLAY, self._clip, self._clip.finish)


def _guarded(record: EventRecord, what: str, clip: CopiedClip | FrameClip, work: Callable[[], None]) -> str | None:
    """Does the work and returns why packets cannot be copied, or None; a clip that the disk does not take ends."""
    try:
        work()
    except CopyError as error:
        clip.abandon()
        return str(error)
    except (OSError, UserError) as error:
        clip.abandon()
        record.count_loss(f"the {what}", error)
    return None


def _too_long(what: str, settings: EvidenceSettings) -> str:
    """Returns the note about a clip that is longer than it may be."""
    return f"the {what} ends after {settings.max_seconds:g} s, before the event does"
