"""An event's clip, by the best means there are: the source's own packets, or scored frames in their place."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from msflow_stream.events.evidence.copied_clip import ClipWriter
from msflow_stream.events.evidence.event_folder import CLIP
from msflow_stream.events.evidence.frame_clip import PictureClip
from msflow_stream.events.evidence.parts import Part
from msflow_stream.events.evidence.recent_frames import Recent, Scored
from msflow_stream.events.evidence.record import Record
from msflow_stream.events.evidence.settings import EvidenceSettings
from msflow_stream.types import UserError
from msflow_stream.video.packets.packet_ring import PacketRing
from msflow_stream.video.packets.stream_copy import CopyError


class EventClip:
    """Writes clip.mp4; what the disk does to it is noted, not raised."""

    def __init__(
        self, record: Record, begin: float, recent: Recent, packets: PacketRing | None, settings: EvidenceSettings
    ) -> None:
        """Prepares; it is to show what was from `begin` on."""
        self._record, self._begin, self._recent, self._settings = record, begin, recent, settings
        self._packets = packets
        self._copied: ClipWriter | None = None
        self._coded: PictureClip | None = None
        if packets is not None and packets.obstacle is None:
            self._copied = ClipWriter(record.folder, packets, begin, settings.max_seconds)
        else:
            self._code_anew("there are no packets" if packets is None else packets.obstacle or "")

    @property
    def parts(self) -> list[Part]:
        """Its files so far."""
        return [part for clip in (self._copied, self._coded) if clip is not None for part in clip.parts]

    @property
    def waits(self) -> bool:
        """Packets are still to come, beyond the last frame."""
        return self._copied is not None and not self._copied.over

    def take(self, scored: Scored, image: npt.NDArray[np.uint8]) -> None:
        """Takes the next scored frame with its picture, and what came of packets."""
        until = self._record.until(self._settings.post_roll)
        if self._coded is not None and scored.time <= until:
            self._write(self._coded, image, scored.time)
        self.advance(scored.time)

    def advance(self, now: float) -> None:
        """Copies the packets that were shown before `now`."""
        until = self._record.until(self._settings.post_roll)
        clip, packets = self._copied, self._packets
        if clip is None or clip.over or packets is None:
            return
        missed = clip.missed
        obstacle = guarded(self._record, CLIP, clip, lambda: clip.advance(until, now))
        if obstacle is None and not clip.over:
            obstacle = packets.obstacle
        self._record.losses["slow"] += clip.missed - missed
        if clip.cut_short:
            self._record.note(cut(CLIP, self._settings))
        if obstacle is not None:
            clip.abandon()
            self._code_anew(obstacle)

    def finish(self) -> None:
        """Ends it as it is; twice is fine."""
        until = self._record.until(self._settings.post_roll)
        if self._packets is not None and self.waits:
            if math.isfinite(until):
                self._packets.catch_up(until)
            self.advance(math.inf)
        for clip in (self._copied, self._coded):
            if clip is not None and not clip.over:
                guarded(self._record, CLIP, clip, clip.finish)
        if self._copied is not None and self._coded is None and not self.parts:
            self._record.note("there is no clip: no packets of its time were at hand")

    def _code_anew(self, why: str) -> None:
        """From here on, and as far back as they go, scored frames take the place of packets."""
        self._record.note(f"the {CLIP} is made of scored frames: {why}")
        begin = max([self._begin, *(part.end for part in self.parts)])
        self._coded = PictureClip(self._record.folder, CLIP, self._settings.rate_hint, self._settings.max_seconds)
        for scored in self._recent.since(begin):
            if scored.time <= self._record.until(self._settings.post_roll):
                self._write(self._coded, scored.image(), scored.time)

    def _write(self, clip: PictureClip, image: npt.NDArray[np.uint8], time: float) -> None:
        guarded(self._record, CLIP, clip, lambda: clip.write(image, time))
        if clip.cut_short:
            self._record.note(cut(CLIP, self._settings))


def guarded(record: Record, what: str, clip: ClipWriter | PictureClip, work: Callable[[], None]) -> str | None:
    """Does it; a clip that the disk does not take ends as it is. Returns why packets cannot be copied, None if not."""
    try:
        work()
    except CopyError as error:
        clip.abandon()
        return str(error)
    except (OSError, UserError) as error:
        clip.abandon()
        record.lose(f"the {what}", error)
    return None


def cut(what: str, settings: EvidenceSettings) -> str:
    """What is noted of a clip that is longer than it may be."""
    return f"the {what} ends after {settings.max_seconds:g} s, before the event does"
