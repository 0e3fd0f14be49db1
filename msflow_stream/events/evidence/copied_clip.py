"""A clip of the source's own packets, copied as they come, from before an event's start until after its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msflow_stream.events.evidence.event_folder import CLIP, ClipFile, free_stem
from msflow_stream.video.packets.packet_ring import CodedPacket, PacketRing
from msflow_stream.video.packets.stream_copy import CopyError, PacketCopy

SETTLED = 1.0  # seconds after which no frame comes any more that is shown before


class CopiedClip:
    """Writes clip.mp4, and clip-2.mp4 and so on where the source connected again or codes its frames otherwise.

    Attributes:
        over: nothing more will be written.
        missed: packets that were gone before they could be copied.
        cut_short: it ended at its greatest length, before what it was to show did.
    """

    def __init__(self, folder: Path, packets: PacketRing, begin: float, max_seconds: float) -> None:
        """Prepares a clip that shows what was from the key frame before `begin` on."""
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
        """Copies the packets that were shown before `now`; the clip is over once all up to `until` are copied.

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
        """Ends the clip as it is; twice is fine.

        Raises:
            OSError, CopyError: the end cannot be written; what is there plays.
        """
        self.over = True
        self._end_part()

    def abandon(self) -> None:
        """Ends the clip after a failure."""
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
    """Returns how many packets belong to the clip: all that are shown before `limit`.

    At the end there is one more frame, and no hole before the last one: those that others need are decoded before
    them, and then shown too.
    """
    if not ended:
        return _behind_last(batch, math.nextafter(limit, -math.inf))
    last, count = min(_time(packet) for packet in batch if _time(packet) >= limit), 0
    while (more := _behind_last(batch, last)) > count:
        last, count = max(_time(packet) for packet in batch[:more]), more
    return count


def _behind_last(batch: Sequence[CodedPacket], time: float) -> int:
    """Returns the place behind the last packet that is shown at this time or before."""
    return max((place + 1 for place, packet in enumerate(batch) if _time(packet) <= time), default=0)
