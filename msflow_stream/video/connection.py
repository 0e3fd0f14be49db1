"""One connection to a camera: opens it, and decodes what arrives, each frame with its index."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from msflow_stream.types import UserError
from msflow_stream.video.faults import CameraError, Fault, open_error, read_error
from msflow_stream.video.order import FrameCounter
from msflow_stream.video.pixels import displayed_size
from msflow_stream.video.reader import SourceInfo
from msflow_stream.video.redact import live_name

ASSUMED_RATE = Fraction(25)  # FFmpeg's own assumption for streams without any timing
RESTART_SECONDS = Fraction(1, 2)  # timestamps that fall back by more start anew


class Arrival(NamedTuple):
    """A decoded frame, its number in the connection, and its timestamp in ticks of the stream, None without one."""

    frame: VideoFrame
    number: int
    pts: int | None


class Connection:
    """Iterates over what arrives, until a CameraError says why no more does. To be iterated once, and closed.

    Attributes:
        info: what is known of the stream; width and height are the first frame's.
        damaged: packets since the first frame that could not be decoded, or whose frame is known to be damaged.
        received: frames that arrived so far, decoded or not.
    """

    def __init__(
        self,
        url_or_index: str,
        *,
        transport: str = "tcp",
        open_timeout: float = 10.0,
        read_timeout: float = 10.0,
        name: str | None = None,
    ) -> None:
        """Connects and waits for the first frame.

        Args:
            url_or_index: an rtsp, rtsps, http, https, rtmp, udp, tcp or srt URL, or a webcam's number.
            transport: how RTSP sends pictures, tcp or udp.
            open_timeout, read_timeout: seconds without an answer until giving up.
            name: for `info`; made from the address where it is None.

        Raises:
            CameraError: no connection, or no picture comes. Credentials are never part of the text.
            UserError: a webcam that is not there.
        """
        self._url, self._read_timeout = url_or_index, read_timeout
        self._container = _connect(url_or_index, transport, (open_timeout, read_timeout))
        try:
            self._stream = _video_stream(self._container, url_or_index)
            self._time_base = self._stream.time_base or 1 / ASSUMED_RATE
            self._counter = FrameCounter()
            self._errors = self._corrupt = self._unseen = self._sent = self._shift = 0
            self._started = self._ended = False
            self._last_stamp: int | None = None
            self._ready: deque[Arrival] = deque()
            self._packets = self._container.demux()
            self._read()
            self.info = self._facts(name or live_name(url_or_index))
        except BaseException:
            self.close()
            raise

    @property
    def damaged(self) -> int:
        # A packet that fails shows twice, as an error now and as a missing frame later.
        return max(self._errors, self._counter.lost - self._unseen) + self._corrupt

    @property
    def received(self) -> int:
        return max(self._sent, self._counter.passed)

    def __iter__(self) -> Iterator[Arrival]:
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
                self._mend_restart(packet)
                if packet.pts is not None:
                    self._counter.packet(packet.pts)
                self._decode(packet)  # type: ignore[arg-type]  # its stream is the video one

    def _decode(self, packet: Packet[VideoStream] | None) -> None:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError:
            self._errors += 1
            return
        for frame in frames:
            number = self._counter.frame(frame.pts)
            if not self._started:  # usual: the connection began between two key frames
                self._errors, self._unseen, self._started = 0, self._counter.lost, True
            self._corrupt += frame.is_corrupt
            if number is not None:
                self._ready.append(Arrival(frame, number, frame.pts))

    def _mend_start(self, packet: Packet[Stream]) -> None:
        """Gives the first packet the timestamp that FFmpeg leaves out over RTSP: one step before the second one's."""
        if self._sent == 1 and packet.pts is None and packet.duration and self._stream.start_time is not None:
            packet.pts = packet.dts = self._stream.start_time - packet.duration

    def _mend_restart(self, packet: Packet[Stream]) -> None:
        """Lets timestamps go on where they start anew, so that frames keep their order."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return
        if self._last_stamp is not None and stamp + self._shift + RESTART_SECONDS / self._time_base < self._last_stamp:
            self._shift = self._last_stamp + (packet.duration or 1) - stamp
        self._last_stamp = stamp + self._shift
        if packet.pts is not None:
            packet.pts += self._shift
        if packet.dts is not None:
            packet.dts += self._shift

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


def _video_stream(container: InputContainer, url: str) -> VideoStream:
    if not container.streams.video:
        raise CameraError(url, Fault.GARBLED, "the stream carries no video")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise CameraError(url, Fault.CODEC, "no decoder for its video codec")
    # Threads that work on several frames at once would hold each frame back by as many.
    stream.thread_type = "SLICE"
    return stream


def _connect(url_or_index: str, transport: str, timeout: tuple[float, float]) -> InputContainer:
    url, options, device = url_or_index, {}, None
    if url.isdecimal():
        url, device = _webcam(url), "v4l2"
    elif url.lower().startswith(("rtsp:", "rtsps:")):
        # TCP by default: RTP over UDP loses packets, and firewalls drop it. The frame rate is in the stream's
        # headers; waiting for a second of frames to measure it would only make the first ones old.
        options = {"rtsp_transport": transport, "fpsprobesize": "0"}
    asked = monotonic()
    try:
        return av.open(url, format=device, options=options, timeout=timeout, metadata_errors="replace")
    except av.FFmpegError as caught:
        error = open_error(caught, url_or_index, monotonic() - asked, timeout[0])
    except ValueError:
        error = CameraError(url_or_index, Fault.ADDRESS, "cannot connect (not a usable address)")
    # Raised out here, not above: the caught error holds the URL, and would ride along as this one's context.
    raise error


def _webcam(index: str) -> str:
    if not sys.platform.startswith("linux"):
        raise UserError(f"webcam {index}: webcams are read on Linux only; serve it as RTSP and give the URL")
    device = f"/dev/video{int(index)}"
    if not Path(device).exists():
        raise CameraError(f"webcam {index}", Fault.NOT_FOUND, f"there is no {device}; see `ls /dev/video*`")
    return device
