"""Packets into frames, in display order, each with its index; damage is counted and survived."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from msflow_stream.video.order import FrameCounter

logger = logging.getLogger(__name__)

ASSUMED_RATE = Fraction(25)  # FFmpeg's own assumption for streams without any timing
MOST_READ_ERRORS = 16  # after so many, the rest of the file is given up
RESTART_SECONDS = Fraction(1, 2)  # timestamps that fall back by more start anew (recordings joined end to end)


class Decoder:
    """Iterates over (decoded frame, index in the source, pts); pts is None where the file has none.

    Attributes:
        rate: average frames per second.
        time_base: seconds per tick of pts.
        damaged: packets so far that could not be decoded, or whose frame is known to be damaged.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, name: str, threads: bool) -> None:
        """Takes an open container; `name` is for messages."""
        stream.thread_type = "AUTO" if threads else "NONE"
        if not threads:
            stream.thread_count = 1
        self.rate: Fraction = stream.average_rate or stream.guessed_rate or stream.base_rate or ASSUMED_RATE
        self.time_base: Fraction = stream.time_base or 1 / self.rate
        self.damaged = 0
        self._container, self._stream, self._name = container, stream, name
        self._packets = container.demux(stream)
        self._counter = FrameCounter()
        self._ready: deque[tuple[VideoFrame, int, int | None]] = deque()
        self._errors = self._read_errors = self._corrupt = self._sent = self._shift = 0
        self._last_dts: int | None = None
        self._done = False
        self._reorders = bool(stream.codec_context.has_b_frames)
        # AVI stores no pts, and FFmpeg guesses them wrongly where frames are reordered.
        self._timed = not (self._reorders and container.format.name == "avi")

    @property
    def start_pts(self) -> int:
        """pts of the source's first frame, 0 where the source has no pts; known once a frame was decoded."""
        return (self._counter.start or 0) if self._timed else 0

    @property
    def passed(self) -> int:
        """Source frames passed so far, the lost ones included."""
        return self._counter.passed

    def peek(self) -> VideoFrame | None:
        """Decodes up to the first frame and returns it without taking it; None where the file has none."""
        while not self._ready and self._advance():
            pass
        return self._ready[0][0] if self._ready else None

    def __iter__(self) -> Iterator[tuple[VideoFrame, int, int | None]]:
        while self._ready or self._advance():
            if self._ready:
                yield self._ready.popleft()

    def _advance(self) -> bool:
        """Decodes one packet or, at the file's end, what the decoder still holds. Returns False when all is done."""
        if self._done:
            return False
        packet = self._read()
        if packet is None:
            self._done = True
            self._decode(None)
            self._counter.finish()
        elif packet.size:  # an empty packet would put the decoder into its final flush
            self._stamp(packet)
            self._decode(packet)
        self._tally()
        return True

    def _read(self) -> Packet[VideoStream] | None:
        while self._read_errors < MOST_READ_ERRORS:
            try:
                return next(self._packets, None)
            except av.FFmpegError:
                self._read_errors += 1
                self._packets = self._container.demux(self._stream)  # an error ends PyAV's generator, not the file
        return None

    def _stamp(self, packet: Packet[VideoStream]) -> None:
        """Puts on the packet the pts by which its frame will be known, and counts it."""
        self._mend_restart(packet)
        if packet.is_discard:  # before the start of an MP4 edit list: decoded as a reference, never shown
            return
        self._timed = self._timed and (packet.pts is not None or self._sent > 0)
        if not self._timed:
            packet.pts = None if self._reorders else self._sent
        self._sent += 1
        if packet.pts is not None:
            self._counter.packet(packet.pts)

    def _mend_restart(self, packet: Packet[VideoStream]) -> None:
        """Lets timestamps go on where they start anew in mid-file, as in recordings joined end to end."""
        if packet.dts is None:
            return
        if self._last_dts is not None and packet.dts + self._shift + RESTART_SECONDS / self.time_base < self._last_dts:
            self._shift = self._last_dts + (packet.duration or 1) - packet.dts
        packet.dts += self._shift
        if packet.pts is not None:
            packet.pts += self._shift
        self._last_dts = packet.dts

    def _decode(self, packet: Packet[VideoStream] | None) -> None:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError:
            self._errors += 1
            return
        for frame in frames:
            index = self._counter.frame(frame.pts)
            self._corrupt += frame.is_corrupt
            if index is not None:
                self._ready.append((frame, index, frame.pts if self._timed else None))

    def _tally(self) -> None:
        # A packet that fails shows twice, as an error now and as a missing frame later; some show only as the latter.
        damaged = max(self._errors, self._counter.lost) + self._corrupt + self._read_errors
        if damaged and not self.damaged:
            logger.warning("%s: damaged packets; reading goes on, but some frames are missing or spoilt", self._name)
        self.damaged = damaged
