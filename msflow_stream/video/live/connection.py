"""One connection to a camera: opens it, and decodes what arrives, each frame with its index."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from time import monotonic
from typing import NamedTuple

import av
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from msflow_stream.config.cameras import CameraSettings
from msflow_stream.video.cards import Decoder, DecoderChoice, is_fault_of_card
from msflow_stream.video.live.faults import CameraError, Fault, read_error
from msflow_stream.video.live.open_camera import camera_stream, is_ahead, is_timed, open_camera
from msflow_stream.video.packets.packet_ring import PacketObserver
from msflow_stream.video.reading.colour import displayed_size
from msflow_stream.video.reading.companions import Companion, CompanionFinder
from msflow_stream.video.reading.demuxer import ASSUMED_RATE, TimestampRepair
from msflow_stream.video.reading.frame_counter import Absent, FrameCounter
from msflow_stream.video.reading.source_info import SourceInfo, live_name

ARRIVAL_TICK = Fraction(1, 1_000_000)  # seconds, where the stream has no timestamps


class DecodedFrame(NamedTuple):
    """A decoded frame of a connection.

    Attributes:
        number: its number in the connection.
        pts: its timestamp in ticks of the stream, None without one.
        companion: what came about a tenth of a second before; None where nothing whole did, or nobody asked.
    """

    frame: VideoFrame
    number: int
    pts: int | None
    companion: Companion | None = None


class Connection:
    """The frames of one connection, until a CameraError says why no more come. To be iterated once, and closed.

    Attributes:
        info: the facts of the stream; width and height are the first frame's.
        decoder: the decoder of the frames, cpu or cuda.
        ahead: frames can come faster than they happened, many at once, as over HLS.
    """

    def __init__(
        self,
        url_or_index: str,
        settings: CameraSettings | None = None,
        *,
        name: str | None = None,
        choice: DecoderChoice | None = None,
        packets: PacketObserver | None = None,
        motion: bool = True,
    ) -> None:
        """Connects and waits for the first frame.

        Args:
            url_or_index: an rtsp, rtsps, http, https, rtmp, udp, tcp or srt URL, or a webcam's number.
            settings: transport, timeouts and decoder count here.
            name: the source's name; made from the address where it is None.
            choice: the decoder's, kept over a camera's connections, so that it says only once what it decides; that of
                the settings, without a card of a scene, where it is None.
            packets: is shown every packet that goes to the decoder.
            motion: frames come with their companions.

        Raises:
            CameraError: no connection, or no frame comes. Credentials are never part of the text.
            UserError: a webcam that is not there.
        """
        settings, name = settings or CameraSettings(), name or live_name(url_or_index)
        self._choice = choice or DecoderChoice(name, settings.decode)
        self._url, self._read_timeout = url_or_index, settings.read_timeout
        with self._choice.opening() as acceleration:
            self._container = open_camera(url_or_index, settings, acceleration)
        try:
            self._stream = camera_stream(self._container, url_or_index)
            self._timed, self.ahead = is_timed(self._container), is_ahead(self._container)
            self._time_base = self._stream.time_base or 1 / ASSUMED_RATE
            self._counter = FrameCounter()
            self._errors = self._corrupt = self._unseen = self._sent = self._card_faults = 0
            self._started = self._ended = False
            self._restarts = TimestampRepair(self._time_base)
            tick = self._time_base if self._timed else ARRIVAL_TICK
            self._companions = CompanionFinder(tick, self._restarts.parts) if motion else None
            self._ready: deque[DecodedFrame] = deque()
            self._packets, self._observer = self._container.demux(), packets
            if packets is not None:
                packets.begin(self._stream, self._time_base)
            self._read()
            self.info = self._facts(name)
            self.decoder: Decoder = self._choice.used(self._ready[0].frame, self._stream.codec_context.name)
        except BaseException:
            self.close()
            raise

    @property
    def damaged(self) -> int:
        """Packets since the first frame that could not be decoded, or whose frame is known to be damaged."""
        # A packet that fails shows twice, as an error now and as a missing frame later.
        return max(self._errors, self._counter.lost - self._unseen) + self._corrupt

    @property
    def received(self) -> int:
        """Frames that arrived so far, decoded or not."""
        return max(self._sent, self._counter.passed)

    def __iter__(self) -> Iterator[DecodedFrame]:
        while True:
            while self._ready:
                yield self._ready.popleft()
            self._read()

    def close(self) -> None:
        """Ends the connection; closing twice is fine. Not while another thread iterates."""
        self._container.close()

    def _read(self) -> None:
        """Waits until a frame is ready.

        Raises:
            CameraError: none will come, or data came for as long as the timeout, but no frame.
        """
        begin = monotonic()
        while not self._ready:
            asked = monotonic()
            if asked - begin > self._read_timeout:
                if self._card_faults:
                    self._choice.give_up("the CUDA device fails")  # from the next connection on
                what = f"data comes, but no picture within {self._read_timeout:g} s"
                raise CameraError(self._url, Fault.GARBLED, what)
            error: CameraError | None = None
            try:
                packet = next(self._packets, None)
            except av.FFmpegError as caught:
                error = read_error(caught, self._url, monotonic() - asked, self._read_timeout)
            if error is not None:  # raised out here: the caught error holds the URL, and would be its context
                raise error
            if packet is None:
                if self._ended:
                    raise CameraError(self._url, Fault.ENDED, "the stream ended")
                self._ended = True
                self._decode(None)  # the frames it still holds
                continue
            # All streams are read, though only one is decoded, so that a camera that goes on
            # sending sound alone is noticed. An empty packet would put the decoder into its final flush.
            if packet.size and packet.stream is self._stream:
                self._sent += 1
                self._mend_start(packet)
                self._restarts.mend(packet, packet.dts if packet.dts is not None else packet.pts)
                if packet.pts is not None:
                    self._counter.packet(packet.pts)
                if self._observer is not None:
                    self._observer.packet(packet)
                self._decode(packet)  # type: ignore[arg-type]  # its stream is the video one

    def _decode(self, packet: Packet[VideoStream] | None) -> None:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError as error:
            self._errors += 1
            self._card_faults += self._stream.codec_context.is_hwaccel and is_fault_of_card(error)
            return
        for frame in frames:
            number = self._counter.frame(frame.pts)
            if not self._started:  # usual: the connection began between two key frames
                self._errors, self._unseen, self._started = 0, self._counter.lost, True
            self._corrupt += frame.is_corrupt
            lost = self._counter.get_absent()
            if number is not None:
                pts = frame.pts if self._timed else None
                self._ready.append(DecodedFrame(frame, number, pts, self._companion(frame, lost)))

    def _companion(self, frame: VideoFrame, lost: Iterable[Absent]) -> Companion | None:
        """Returns the frame's companion; `lost` are the frames that should have come since the one before."""
        if self._companions is None:
            return None
        if not self._timed:
            return self._companions.add(round(monotonic() / ARRIVAL_TICK), frame)
        for one in lost:
            self._companions.add(one.pts, None)
        return self._companions.add(frame.pts, frame)

    def _mend_start(self, packet: Packet[Stream]) -> None:
        """Gives the first packet the timestamp that FFmpeg leaves out over RTSP: one step before the second one's."""
        if self._sent == 1 and packet.pts is None and packet.duration and self._stream.start_time is not None:
            packet.pts = packet.dts = self._stream.start_time - packet.duration

    def _facts(self, name: str) -> SourceInfo:
        first = self._ready[0]
        width, height = displayed_size(first.frame)
        return SourceInfo(
            name=name,
            width=width,
            height=height,
            rate=self._stream.average_rate or self._stream.guessed_rate or ASSUMED_RATE,
            time_base=self._time_base,
            frames=None,
            duration=None,
            codec=self._stream.codec_context.codec.canonical_name,
            has_audio=bool(self._container.streams.audio),
            live=True,
            start_pts=first.pts or 0,
        )
