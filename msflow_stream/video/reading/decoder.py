"""Decoding: packets become frames, in display order, each with its index; damage is counted and survived."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from msflow_stream.cores import usable_cores
from msflow_stream.video.cards import CardError, is_fault_of_card
from msflow_stream.video.reading.companions import CompanionRule
from msflow_stream.video.reading.demuxer import Demuxer
from msflow_stream.video.reading.frame_counter import FrameCounter
from msflow_stream.video.reading.packet_skipping import PacketSkipper, Skip
from msflow_stream.video.reading.video_parts import PartError, Start

logger = logging.getLogger(__name__)

MOST_THREADS = 16  # of FFmpeg's own choice


class Decoder:
    """The decoded frames of a file, as (frame, index in the source, pts); pts is None where the file has none.

    The frame is None where it could not be decoded, or did not have to be: not wanted, and no other one depends on it.

    Attributes:
        rate: average frames per second.
        time_base: seconds per tick of pts.
        damaged: packets so far that could not be decoded, or whose frame is known to be damaged.
        skipped: frames so far that were not decoded, though they could have been.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        name: str,
        threads: bool,
        every: int = 1,
        motion_every: int | None = None,
        starts: Sequence[Start] = (),
    ) -> None:
        """Takes an open container.

        Args:
            name: the file's, for messages.
            threads: decode with several threads; on a card, whose threads are its own, always with one.
            every: frames whose index is a multiple of this are wanted.
            motion_every: of these, those whose index is a multiple of this are wanted with their companions.
            starts: key frames to begin with, the last one if it can be found; none for the beginning.
        """
        self._on_card = stream.codec_context.is_hwaccel
        threads = threads and not self._on_card
        cores = usable_cores() if threads else 1
        stream.thread_type = "AUTO" if threads else "NONE"
        stream.thread_count = 1 if cores == 1 else min(cores + 1, MOST_THREADS)  # FFmpeg's choice, but for quotas
        if starts:
            container.seek(starts[-1].seek, stream=stream)
        self._demuxer = Demuxer(container, stream)
        self.rate, self.time_base = self._demuxer.rate, self._demuxer.time_base
        self.damaged = self.skipped = 0
        self._stream, self._name = stream, name
        self._counter = FrameCounter()
        self._every, self._motion_every = every, motion_every
        self._starts = {start.pts: start for start in starts}
        self._skipper: PacketSkipper | None = None
        self._ready: deque[tuple[VideoFrame | None, int, int | None]] = deque()
        self._errors = self._corrupt = 0
        self._asked = self._begun = self._done = False

    @property
    def start_pts(self) -> int:
        """Pts of the source's first frame, 0 where the source has no pts; known once a frame was decoded."""
        return (self._counter.start or 0) if self.timed else 0

    @property
    def tick(self) -> Fraction:
        """Seconds per tick of pts or, where the file has none, per frame; known once a frame was decoded."""
        return self.time_base if self.timed else 1 / self.rate

    @property
    def timed(self) -> bool:
        """Whether frames have pts; known once a frame was decoded."""
        return self._demuxer.timed

    @property
    def parts(self) -> Sequence[int]:
        """The pts, so far, at which the file's own start anew."""
        return self._demuxer.parts

    @property
    def passed(self) -> int:
        """Source frames passed so far, the lost ones included."""
        return self._counter.passed

    def peek(self) -> VideoFrame | None:
        """Decodes up to the first frame and returns it without taking it; None where the file has none.

        Raises:
            CardError: the card fails, not the file; as while iterating.
        """
        while not self._ready and self._advance():
            pass
        return self._ready[0][0] if self._ready else None

    def __iter__(self) -> Iterator[tuple[VideoFrame | None, int, int | None]]:
        while self._ready or self._advance():
            if self._ready:
                yield self._ready.popleft()

    def _advance(self) -> bool:
        """Decodes one packet or, at the file's end, what the decoder still holds. Returns False when all is done."""
        if self._done:
            return False
        packet = self._demuxer.read()
        if packet is None:
            self._done = True
            self._send_all(self._skipper.rest() if self._skipper else ())
            self._decode(None)
            self._counter.finish()
            self._pass_absent()
        elif packet.size:  # an empty packet would put the decoder into its final flush
            if not self._asked:
                self._find_start(packet)
                self._skipper = self._choose_skipper()
            self._send_all(self._skipper.add(packet) if self._skipper else [(packet, Skip.NOTHING)])
        self._tally()
        return True

    def _find_start(self, packet: Packet[VideoStream]) -> None:
        """Learns from the first packet where in the file this is."""
        if not self._starts:
            return
        start = None if packet.pts is None or packet.is_discard else self._starts.get(packet.pts)
        if start is None:
            raise PartError(f"{self._name}: none of the key frames that were looked for is found")
        self._counter = FrameCounter(start.index)

    def _choose_skipper(self) -> PacketSkipper | None:
        """Called with the first packet at hand, as that tells whether there are timestamps."""
        self._asked = True
        rule = None if self._motion_every is None else CompanionRule(self.tick)
        return PacketSkipper.of(
            self._stream.codec_context, self._every, rule, self._motion_every or 1, self._counter.passed
        )

    def _send_all(self, packets: Iterable[tuple[Packet[VideoStream], Skip]]) -> None:
        for packet, skip in packets:
            if not self._begun:  # the first frame says what there is to know of the file
                skip = Skip.NOTHING
            if packet.pts is not None and not packet.is_discard:
                self._counter.packet(packet.pts, wanted=skip is Skip.NOTHING)
            # Read when a packet goes in, whichever thread decodes it.
            self._stream.codec_context.skip_frame = skip.value
            self._decode(packet)

    def _pass_absent(self) -> None:
        for absent in self._counter.get_absent():
            self.skipped += not absent.lost
            if self._begun:
                self._ready.append((None, absent.index, absent.pts if self.timed else None))

    def _decode(self, packet: Packet[VideoStream] | None) -> None:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError as error:
            if self._on_card and is_fault_of_card(error):
                raise CardError(f"the CUDA device fails: {error.strerror or error}") from None
            self._errors += 1
            return
        for frame in frames:
            index = self._counter.frame(frame.pts)
            self._corrupt += frame.is_corrupt
            if self._skipper is not None and frame.interlaced_frame:
                self._skipper.stop()
            self._pass_absent()
            if index is not None:
                self._begun = True
                self._ready.append((frame, index, frame.pts if self.timed else None))

    def _tally(self) -> None:
        # A packet that fails shows twice, as an error now and as a missing frame later; some show only as the latter.
        damaged = max(self._errors, self._counter.lost) + self._corrupt + self._demuxer.errors
        if damaged and not self.damaged:
            logger.warning("%s: damaged packets; reading goes on, but some frames are missing or spoilt", self._name)
        self.damaged = damaged
