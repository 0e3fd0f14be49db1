"""Opens the addresses of cameras, or says in one line why not; and chooses what decodes them: CUDA or the CPU."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from time import monotonic
from typing import Literal

import av
from av.codec import Codec
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.format import Flags
from av.stream import Discard
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from msflow_stream.config.cameras import CameraSettings, Decode
from msflow_stream.types import UserError
from msflow_stream.video.live.faults import CameraError, Fault, open_error

logger = logging.getLogger(__name__)

Decoder = Literal["cpu", "cuda"]
TRIAL_CODEC = "h264"  # every card that decodes anything decodes this


def open_camera(url_or_index: str, settings: CameraSettings, acceleration: HWAccel | None = None) -> InputContainer:
    """Connects to a camera; the caller closes the container.

    Raises:
        CameraError: no connection. Credentials are never part of the text.
        UserError: webcams cannot be read on this system.
    """
    url, options, device = url_or_index, {}, None
    if url.isdecimal():
        url, device = _webcam(url), "v4l2"
    elif url.lower().startswith(("rtsp:", "rtsps:")):
        # TCP by default: RTP over UDP loses packets, and firewalls drop it. The frame rate is in the stream's
        # headers; waiting for a second of frames to measure it would only make the first ones old.
        options = {"rtsp_transport": settings.transport, "fpsprobesize": "0"}
    timeout = (settings.open_timeout, settings.read_timeout)
    asked = monotonic()
    try:
        return av.open(
            url, format=device, options=options, timeout=timeout, metadata_errors="replace", hwaccel=acceleration
        )
    except av.FFmpegError as caught:
        error = open_error(caught, url_or_index, monotonic() - asked, settings.open_timeout)
    except ValueError:
        error = CameraError(url_or_index, Fault.ADDRESS, "cannot connect (not a usable address)")
    # Raised out here, not above: the caught error holds the URL, and would ride along as this one's context.
    raise error


def camera_stream(container: InputContainer, url: str) -> VideoStream:
    """Returns the video stream, set to hold no frame back.

    Raises:
        CameraError: there is none, or no decoder for it.
    """
    streams = container.streams.video
    if not streams:
        raise CameraError(url, Fault.GARBLED, "the stream carries no video")
    stream = streams[0]
    if (
        container.format.name == "hls"
    ):  # the same in several qualities, and FFmpeg fetches all that it is not told not to
        stream = max(streams, key=lambda one: one.width * one.height if one.codec_context else 0)
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
    if stream.codec_context is None:
        raise CameraError(url, Fault.CODEC, "no decoder for its video codec")
    # Threads that work on several frames at once would hold each frame back by as many; cameras, which send a frame in
    # one piece mostly, have a thread each already.
    stream.thread_type, stream.thread_count = "NONE", 1
    return stream


def is_timed(container: InputContainer) -> bool:
    """Returns whether the timestamps are the camera's: over plain MJPEG and the like, FFmpeg makes them up."""
    return not container.format.flags & Flags.no_timestamps.value  # type: ignore[operator]  # the stub errs: it is an int


def is_ahead(container: InputContainer) -> bool:
    """Returns whether frames can come faster than they happened: HLS sends seconds at once, a recording all."""
    recorded = bool(container.duration) and container.name.lower().startswith("http")
    return container.format.name == "hls" or recorded


def _webcam(index: str) -> str:
    if not sys.platform.startswith("linux"):
        raise UserError(f"webcam {index}: webcams are read on Linux only; serve it as RTSP and give the URL")
    device = f"/dev/video{int(index)}"
    if not Path(device).exists():
        raise CameraError(f"webcam {index}", Fault.NOT_FOUND, f"there is no {device}; see `ls /dev/video*`")
    return device


class DecoderChoice:
    """The choice of one camera's decoder, for each of its connections; why it is not the card is said once.

    Attributes:
        reason: why the card is not used, although it may be; None while nothing is known against it.
    """

    def __init__(self, name: str, wish: Decode = "cpu") -> None:
        """Takes a name for the log, and a wish: auto for the card where there is one, or one decoder or the other."""
        self.reason: str | None = None
        self._name, self._wish = name, wish

    def acceleration(self) -> HWAccel | None:
        """Returns the acceleration that a connection is to be opened with, None for the processor."""
        if self._wish == "cpu":
            return None
        try:  # a device that is let go at once: a failure inside av.open would look like one of the camera
            HWAccel("cuda").create(Codec(TRIAL_CODEC, "r"))
        except (av.FFmpegError, NotImplementedError) as error:
            self._note(f"no CUDA device can be used: {getattr(error, 'strerror', None) or error}")
            return None
        return HWAccel("cuda", allow_software_fallback=True)

    def used(self, context: VideoCodecContext) -> Decoder:
        """Returns the decoder at work; asked before the first frame is decoded, it may err."""
        if context.is_hwaccel and context.pix_fmt == "cuda":  # what the decoder settled on; frames are fetched from it
            return "cuda"
        if self._wish != "cpu" and self.reason is None:
            self._note(f"the CUDA device does not decode this kind of {context.name}")
        return "cpu"

    def _note(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason
            level = logging.WARNING if self._wish == "cuda" else logging.INFO
            logger.log(level, "%s: decodes on the processor (%s)", self._name, reason)
