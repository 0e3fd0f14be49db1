"""An event's clip: the source's packets, copied as they come, from before the start until after the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from msflow_stream.events.evidence.event_folder import CLIP, ClipFile, EventRecord, free_stem
from msflow_stream.events.evidence.frame_clip import FrameClip
from msflow_stream.events.evidence.recent_frames import Recent, RecentFrame
from msflow_stream.events.evidence.settings import EvidenceSettings
from msflow_stream.types import UserError
from msflow_stream.video.packets.packet_ring import CodedPacket, PacketRing
from msflow_stream.video.packets.stream_copy import CopyError, PacketCopy

SETTLED = 1.0  # seconds after which no picture comes any more that is shown before


class ClipWriter:
    """Writes clip.mp4, and clip-2.mp4 and so on where the source connected again or codes its pictures otherwise.

    Attributes:
        over: nothing more will be written.
        missed: packets that were gone before they could be copied.
        cut_short: it ended at its greatest length, before what it was to show did.
    """

    def __init__(self, folder: Path, packets: PacketRing, begin: float, max_seconds: float) -> None:
        """Prepares: it is to show what was from the key frame before `begin` on."""
        self._folder, self._packets, self._begin, self._max_seconds = folder, packets, begin, max_seconds
        self.over = self.cut_short = False
        self.missed = 0
        self._next: int | None = None  # the number of the packet that comes next
        self._first = math.inf  # time of the first one
        self._needs_key = True
        self._copy: PacketCopy | None = None
        self._done: list[ClipFile] = []

    @property
    def parts(self) -> list[ClipFile]:
        """The files so far."""
        copy = self._copy
        return [*self._done] if copy is None else [*self._done, ClipFile(copy.path.name, copy.start, copy.end, True)]

    def advance(self, until: float, now: float = math.inf) -> None:
        """Copies what was shown before `now`; it is over once all up to `until` is copied.

        Raises:
            OSError: the disk does not take it; what is written plays.
            CopyError: no file takes this source's packets.
        """
        if self.over:
            return
        if self._next is None:
            self._next = self._packets.start(self._begin)
        if self._next is None or not (batch := self._packets.after(self._next)):
            return
        assert batch[0].time is not None
        self._first = min(self._first, batch[0].time)
        limit = min(until, self._first + self._max_seconds)
        self._note_gap(batch[0].number - self._next)
        ended = any(_time(packet) >= limit + SETTLED for packet in batch)
        self._write(batch, _cut(batch, limit if ended else min(limit, now), ended), limit)
        if ended:
            self.cut_short = limit < until
            self.finish()

    def finish(self) -> None:
        """Ends it as it is; twice is fine.

        Raises:
            OSError, CopyError: the end cannot be written; what is there plays.
        """
        self.over = True
        self._end_part()

    def abandon(self) -> None:
        """Ends it after a failure."""
        with suppress(OSError, CopyError):
            self.finish()

    def _note_gap(self, missed: int) -> None:
        if missed > 0:
            self.missed += missed
            self._needs_key = True

    def _write(self, batch: Sequence[CodedPacket], count: int, limit: float) -> None:
        for place, packet in enumerate(batch[:count]):
            self._next = packet.number + 1
            if self._copy is not None and packet.coding is not self._copy.coding:
                self._end_part()
            if self._copy is None and (not packet.key or _time(packet) >= limit):
                continue
            if self._copy is None:
                self._copy = PacketCopy(self._folder, free_stem(self._folder, CLIP), batch[place:])
            self._needs_key = self._needs_key and not packet.key
            if not self._needs_key:
                self._copy.write(packet)

    def _end_part(self) -> None:
        copy, self._copy = self._copy, None
        if copy is None:
            return
        part = ClipFile(copy.path.name, copy.start, copy.end, True)
        try:
            copy.close()
        finally:
            if copy.path.exists():
                self._done.append(part)


def _time(packet: CodedPacket) -> float:
    assert packet.time is not None  # the ring gives no others
    return packet.time


def _cut(batch: Sequence[CodedPacket], limit: float, ended: bool) -> int:
    """How many packets belong to it: all that are shown before `limit`.

    At the end there is one more picture, and no hole before the last one: those that others need are decoded before
    them, and then shown too.
    """
    if not ended:
        return _behind_last(batch, math.nextafter(limit, -math.inf))
    last, count = min(_time(packet) for packet in batch if _time(packet) >= limit), 0
    while (more := _behind_last(batch, last)) > count:
        last, count = max(_time(packet) for packet in batch[:more]), more
    return count


def _behind_last(batch: Sequence[CodedPacket], time: float) -> int:
    """The place behind the last packet that is shown at this time or before."""
    return max((place + 1 for place, packet in enumerate(batch) if _time(packet) <= time), default=0)


class EventClip:
    """Writes clip.mp4; what the disk does to it is noted, not raised."""

    def __init__(
        self, record: EventRecord, begin: float, recent: Recent, packets: PacketRing | None, settings: EvidenceSettings
    ) -> None:
        """Prepares; it is to show what was from `begin` on."""
        self._record, self._begin, self._recent, self._settings = record, begin, recent, settings
        self._packets = packets
        self._copied: ClipWriter | None = None
        self._coded: FrameClip | None = None
        if packets is not None and packets.obstacle is None:
            self._copied = ClipWriter(record.folder, packets, begin, settings.max_seconds)
        else:
            self._code_anew("there are no packets" if packets is None else packets.obstacle or "")

    @property
    def parts(self) -> list[ClipFile]:
        """Its files so far."""
        return [part for clip in (self._copied, self._coded) if clip is not None for part in clip.parts]

    @property
    def waits(self) -> bool:
        """Packets are still to come, beyond the last frame."""
        return self._copied is not None and not self._copied.over

    def take(self, scored: RecentFrame, image: npt.NDArray[np.uint8]) -> None:
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
        self._coded = FrameClip(self._record.folder, CLIP, self._settings.rate_hint, self._settings.max_seconds)
        for scored in self._recent.since(begin):
            if scored.time <= self._record.until(self._settings.post_roll):
                self._write(self._coded, scored.image(), scored.time)

    def _write(self, clip: FrameClip, image: npt.NDArray[np.uint8], time: float) -> None:
        guarded(self._record, CLIP, clip, lambda: clip.write(image, time))
        if clip.cut_short:
            self._record.note(cut(CLIP, self._settings))


def guarded(record: EventRecord, what: str, clip: ClipWriter | FrameClip, work: Callable[[], None]) -> str | None:
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
