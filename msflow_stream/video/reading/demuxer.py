"""A file's packets, each with the timestamp by which its frame will be known; damage is counted and survived."""

from __future__ import annotations

from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

ASSUMED_RATE = Fraction(25)  # FFmpeg's own assumption for streams without any timing
MOST_READ_ERRORS = 16  # after so many, the rest of the file is given up
RESTART_SECONDS = Fraction(1, 2)  # timestamps that fall back by more start anew (recordings joined end to end)
MOST_PARTS = 64  # that are remembered: more than a decoder is behind


class TimestampRepair:
    """Timestamps that go on where those of the file start anew, so that frames keep their order.

    Attributes:
        parts: the timestamps from which they do so, ascending; the newest ones.
    """

    def __init__(self, time_base: Fraction) -> None:
        """Prepares; `time_base` is seconds per tick."""
        self.parts: list[int] = []
        self._ticks = RESTART_SECONDS / time_base
        self._last: int | None = None
        self._shift = 0

    def mend(self, packet: Packet[Stream] | Packet[VideoStream], stamp: int | None) -> None:
        """Shifts the packet's timestamps; `stamp` is the one that should only grow, None where it has none."""
        if stamp is None:
            return
        if self._last is not None and stamp + self._shift + self._ticks < self._last:
            self._shift = self._last + (packet.duration or 1) - stamp
            self.parts.append((stamp if packet.pts is None else packet.pts) + self._shift)
            del self.parts[:-MOST_PARTS]
        self._last = stamp + self._shift
        if packet.pts is not None:
            packet.pts += self._shift
        if packet.dts is not None:
            packet.dts += self._shift


class Demuxer:
    """The packets of a file's frames, in the order in which they are decoded.

    Attributes:
        rate: average frames per second.
        time_base: seconds per tick of pts.
        timed: the pts are the file's own; else they count the packets, or are missing where frames are reordered.
        errors: places so far that could not be read.
        parts: the pts from which those of the file start anew, shifted so that they go on.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        """Takes an open container, of which nothing else reads."""
        self.rate: Fraction = stream.average_rate or stream.guessed_rate or stream.base_rate or ASSUMED_RATE
        self.time_base: Fraction = stream.time_base or 1 / self.rate
        self.errors = 0
        self._container, self._stream = container, stream
        self._packets = container.demux(stream)
        self._restarts = TimestampRepair(self.time_base)
        self.parts = self._restarts.parts
        self._reorders = bool(stream.codec_context.has_b_frames)
        # AVI stores no pts, and FFmpeg guesses them wrongly where frames are reordered.
        self.timed = not (self._reorders and container.format.name == "avi")
        self._count = 0

    def read(self) -> Packet[VideoStream] | None:
        """Returns the next packet, None at the end; an empty one at the end asks for what the decoder holds."""
        while self.errors < MOST_READ_ERRORS:
            try:
                packet = next(self._packets, None)
            except av.FFmpegError:
                self.errors += 1
                self._packets = self._container.demux(self._stream)  # an error ends PyAV's generator, not the file
                continue
            if packet is not None and packet.size:
                self._stamp(packet)
            return packet
        return None

    def _stamp(self, packet: Packet[VideoStream]) -> None:
        self._restarts.mend(packet, packet.dts)
        if packet.is_discard:  # before the start of an MP4 edit list: decoded as a reference, never shown
            return
        self.timed = self.timed and (packet.pts is not None or self._count > 0)
        if not self.timed:
            packet.pts = None if self._reorders else self._count
        self._count += 1
