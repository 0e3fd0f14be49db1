"""Opens the addresses of cameras, or says in one line why not."""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.format import Flags
from av.stream import Discard
from av.video.stream import VideoStream

from msflow_stream.config.cameras import CameraSettings
from msflow_stream.types import UserError
from msflow_stream.video.live.faults import CameraError, Fault, open_error


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
