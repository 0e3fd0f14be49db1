"""The writing of footage: packets become segments, and what lies between them is noted."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msflow_stream.video.packets.footage import GAP, Cause, Footage, Gap, Segment, look_at, size_of, stem_of
from msflow_stream.video.packets.packet_ring import CodedPacket
from msflow_stream.video.packets.stream_copy import FORMATS, CopyError, PacketCopy

FREE_BYTES = 4 * 2**20  # without which no segment is begun


class FootageWriter:
    """A writer of segments into a folder, for one thread.

    Attributes:
        footage: what is there, without the segment that is being written.
        cause: of the next gap.
    """

    def __init__(self, folder: Path, footage: Footage, seconds: float) -> None:
        """Takes what is in the folder already, and how long a segment is to be, about."""
        self.footage = footage
        self.cause: Cause = "stopped"
        self._folder, self._longest, self._end = folder, seconds, footage.end
        self._copy: PacketCopy | None = None
        self._start = datetime.now(UTC)  # of the segment
        self._covered, self._last, self._frames = 0.0, 0.0, 0  # seconds of it, time of its latest frame, frames

    @property
    def is_open(self) -> bool:
        """Whether a segment is being written."""
        return self._copy is not None

    @property
    def seconds(self) -> float:
        """The length of all footage, the segment that is being written too."""
        return self.footage.seconds + self._covered

    @property
    def whole(self) -> Footage:
        """The footage with the segment that is being written, as far as it is."""
        found, segment = self.footage, None if self._copy is None else self._noted(self._copy)
        segments = [*found.segments, *([segment] if segment else [])]
        return Footage(found.name, segments, [*found.gaps], dict(found.faults), found.coverage)

    def write(self, batch: Sequence[CodedPacket], offset: float) -> None:
        """Adds packets, in the order of decoding; those before the first key frame are left out.

        Args:
            batch: packets whose times are known.
            offset: from their times to the time of day, in seconds since 1970.

        Raises:
            OSError: the disk does not take it; what is written plays.
            CopyError: no file takes these packets.
        """
        for place, packet in enumerate(batch):
            if self._copy is not None and self._ends_before(self._copy, packet):
                self.finish()
            if self._copy is None:
                if not packet.key:
                    continue
                self._begin(batch[place:], offset)
            assert self._copy is not None
            self._copy.write(packet)
            self._count(packet)

    def finish(self) -> None:
        """Ends the segment, if there is one.

        Raises:
            OSError, CopyError: its end cannot be written; what is there plays, and is noted.
        """
        copy = self._copy
        if copy is None:
            return
        try:
            copy.close()
        except (OSError, CopyError):
            self._give_up(copy)
            raise
        segment, self._copy = self._noted(copy), None
        self._add(segment)

    def abandon(self) -> None:
        """Ends the segment after a failure: what plays of it stays, and is noted."""
        if self._copy is not None:
            with suppress(OSError, CopyError):
                self._copy.close()
            self._give_up(self._copy)

    def _give_up(self, copy: PacketCopy) -> None:
        self._copy = None
        with suppress(OSError):
            self._add(look_at(copy.path) if copy.path.exists() else None)

    def _add(self, segment: Segment | None) -> None:
        if segment is not None:
            self.footage.segments.append(segment)
            self._end = self._start + timedelta(seconds=self._last)
        self._covered = 0.0

    def _ends_before(self, copy: PacketCopy, packet: CodedPacket) -> bool:
        if packet.coding is not copy.coding:
            return True
        time = _time(packet) - copy.start
        return packet.key and (time >= self._longest or time - self._last > GAP)

    def _begin(self, packets: Sequence[CodedPacket], offset: float) -> None:
        start = datetime.fromtimestamp(_time(packets[0]) + offset, UTC)
        while any((self._folder / f"{stem_of(start)}.{suffix}").exists() for suffix in FORMATS):
            start += timedelta(milliseconds=1)
        if shutil.disk_usage(self._folder).free < FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._copy = PacketCopy(self._folder, stem_of(start), packets)
        if self._end is not None and (start - self._end).total_seconds() > GAP:
            self.footage.gaps.append(Gap(self._end, round((start - self._end).total_seconds(), 3), self.cause))
        self.cause, self._start = "camera", start
        self._covered, self._last, self._frames = 0.0, 0.0, 0

    def _count(self, packet: CodedPacket) -> None:
        assert self._copy is not None
        time = _time(packet) - self._copy.start
        step = time - self._last
        if step > GAP:
            self.footage.gaps.append(Gap(self._start + timedelta(seconds=self._last), round(step, 3), "camera"))
        elif step > 0:
            self._covered += step
        self._last, self._frames = max(self._last, time), self._frames + (time >= 0)

    def _noted(self, copy: PacketCopy) -> Segment | None:
        """The segment as far as it is; None where it holds nothing."""
        try:
            size = copy.path.stat().st_size
        except OSError:
            return None
        return Segment(
            file=copy.path.name,
            start=self._start,
            seconds=round(self._covered, 3),
            frames=self._frames,
            codec=copy.coding.codec,
            size=size_of(copy.coding),
            bytes=size,
        )


def _time(packet: CodedPacket) -> float:
    assert packet.time is not None  # the ring gives no others
    return packet.time
