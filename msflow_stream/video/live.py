"""Live sources, network cameras and webcams: frames as they arrive, and no credential in any message."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

import av
from av.container import InputContainer
from av.video.frame import VideoFrame

from msflow_stream.types import Frame, UserError
from msflow_stream.video.pixels import RgbConverter, displayed_size
from msflow_stream.video.reader import Limits, SourceInfo
from msflow_stream.video.redact import live_name, redact

logger = logging.getLogger(__name__)

ASSUMED_RATE = Fraction(25)  # FFmpeg's own assumption for streams without any timing


class LiveReader:
    """Reads a camera until it ends, the connection is lost or a limit is reached. To be iterated once.

    Attributes:
        info: what is known of the stream.
        damaged: packets so far that could not be decoded.
        frames_read: frames received so far, whether yielded or not.
    """

    def __init__(
        self,
        url_or_index: str,
        every: int = 1,
        open_timeout: float = 10.0,
        read_timeout: float = 10.0,
        *,
        max_frames: int | None = None,
        duration: float | None = None,
    ) -> None:
        """Connects and waits for the first picture.

        Args:
            url_or_index: an rtsp, rtsps, http, https, rtmp, udp, tcp or srt URL, or a webcam's number.
            every: yield the frames whose index since the connection is a multiple of this.
            open_timeout, read_timeout: seconds without an answer until giving up.
            max_frames: stop after this many frames received.
            duration: stop after this many seconds of the stream.

        Raises:
            UserError: no connection, or no picture comes. Credentials are never part of the text.
        """
        if every < 1:
            raise ValueError(f"every must be at least 1, not {every}")
        self.damaged = 0
        self.frames_read = 0
        self._shown, self._name = redact(url_or_index), live_name(url_or_index)
        self._every, self._limits, self._iterated = every, Limits(max_frames, duration), False
        self._read_timeout = read_timeout
        self._container = _connect(url_or_index, (open_timeout, read_timeout))
        try:
            self._start()
        except BaseException:
            self._container.close()
            raise

    def _start(self) -> None:
        if not self._container.streams.video:
            raise UserError(f"{self._shown}: the stream carries no video; check its path")
        self._stream = self._container.streams.video[0]
        if self._stream.codec_context is None:
            raise UserError(f"{self._shown}: no decoder for its video codec; set the camera to H.264 or H.265")
        # Threads that work on several frames at once would hold each frame back by as many.
        self._stream.thread_type = "SLICE"
        self._time_base = self._stream.time_base or 1 / ASSUMED_RATE
        self._packets = self._container.demux(self._stream)
        self._ready: deque[VideoFrame] = deque()
        self._ended: str | None = None  # why no more frames come
        self._to_rgb = RgbConverter()
        first = self._next()
        if first is None:
            raise UserError(f"{self._shown}: connected, but no picture came ({self._ended}); check the camera's stream")
        self._ready.appendleft(first)
        self.info = self._facts(first)

    def _facts(self, first: VideoFrame) -> SourceInfo:
        width, height = displayed_size(first)
        return SourceInfo(
            name=self._name,
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

    def _next(self) -> VideoFrame | None:
        """Waits for the next frame; None, and the reason in `_ended`, when no more come."""
        while not self._ready and self._ended is None:
            asked = monotonic()
            try:
                packet = next(self._packets, None)
            except av.FFmpegError as error:
                self._ended = _reason(error, monotonic() - asked, self._read_timeout)
                break
            if packet is None:
                self._ended = "the stream ended"
            elif not packet.size:
                continue
            try:
                self._ready.extend(self._stream.decode(packet))
            except av.FFmpegError:
                self.damaged += 1  # usual at first: the connection began between two key frames
        return self._ready.popleft() if self._ready else None

    def __iter__(self) -> Iterator[Frame]:
        if self._iterated:
            raise RuntimeError(f"{self._name}: a reader is read once; connect again")
        self._iterated = True
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        begin, index = monotonic(), 0
        try:
            while (frame := self._next()) is not None:
                wall = datetime.now(UTC)
                ticks = None if frame.pts is None else frame.pts - self.info.start_pts
                time = monotonic() - begin if ticks is None else float(ticks * self._time_base)
                if self._limits.reached(index, time):
                    return
                self.frames_read = index + 1
                if index % self._every == 0:
                    yield Frame(self._name, index, frame.pts, time, wall, self._to_rgb(frame))
                index += 1
            logger.warning("%s: no more frames (%s)", self._name, self._ended)
        finally:
            self.close()

    def close(self) -> None:
        """Ends the connection; closing twice is fine."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _connect(url_or_index: str, timeout: tuple[float, float]) -> InputContainer:
    url, options, device = url_or_index, {}, None
    if url.isdecimal():
        url, device = _webcam(url), "v4l2"
    elif url.lower().startswith(("rtsp:", "rtsps:")):
        options = {"rtsp_transport": "tcp"}  # RTP over UDP loses packets, and firewalls drop it
    asked = monotonic()
    try:
        return av.open(url, format=device, options=options, timeout=timeout, metadata_errors="replace")
    except av.FFmpegError as error:
        reason = _reason(error, monotonic() - asked, timeout[0])
    except ValueError:
        reason = "not a usable address"
    # Raised out here, not above: the caught error holds the URL, and would ride along as this one's context.
    raise UserError(f"{redact(url_or_index)}: cannot connect ({reason}); check address, credentials and network")


def _webcam(index: str) -> str:
    if not sys.platform.startswith("linux"):
        raise UserError(f"webcam {index}: webcams are read on Linux only; serve it as RTSP and give the URL")
    device = f"/dev/video{int(index)}"
    if not Path(device).exists():
        raise UserError(f"webcam {index}: there is no {device}; see `ls /dev/video*` for those connected")
    return device


def _reason(error: av.FFmpegError, waited: float, timeout: float) -> str:
    if waited >= timeout:  # FFmpeg's code for this differs by protocol
        return f"no answer within {timeout:g} s"
    # strerror is FFmpeg's fixed text for the error code; str(error) would add the URL.
    return redact(error.strerror or "unknown error")
