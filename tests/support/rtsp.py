"""An RTSP camera for tests, by GStreamer's server, that can be killed, restarted and shown other pictures."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

import av
import pytest
from av.bitstream import BitStreamFilterContext

SERVER = Path(__file__).with_name("rtsp_server.py")
PYTHON = "/usr/bin/python3"  # Debian's GStreamer bindings belong to the system's Python
KEPT = 6  # bytes of a damaged unit: start code and header
PACKAGES = (
    "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
    "gstreamer1.0-plugins-ugly gstreamer1.0-libav"
)
PROBE = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
needed = ("appsrc", "h264parse", "rtph264pay", "h265parse", "rtph265pay", "jpegparse", "rtpjpegpay", "rtppcmapay")
missing = [name for name in needed if Gst.ElementFactory.find(name) is None]
raise SystemExit(f"missing {missing}" if missing else 0)
"""


@cache
def why_no_server(python: str) -> str | None:
    """Returns what keeps the RTSP server from running here, None where it can."""
    try:
        probe = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, timeout=60)
    except OSError as error:
        return str(error)
    return probe.stderr.strip().splitlines()[-1] if probe.returncode else None


def need_server(python: str = PYTHON) -> None:
    """Skips the test, or fails it in CI, where there is no RTSP server."""
    reason = why_no_server(python)
    if reason is None:
        return
    message = f"no RTSP server ({reason}); apt-get install {PACKAGES}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def write_units(video: Path, path: Path, damaged: Collection[int] = ()) -> Path:
    """Writes a raw H.264, H.265 or MJPEG file's access units, each after its length, for the server.

    Of the `damaged` ones all but the first bytes, which say what kind of unit it is, are overwritten.
    """
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        if (stream.codec_context.extradata or b"")[
            :1
        ] == b"\x01":  # an MP4's units have lengths where a stream has start codes
            filtered = BitStreamFilterContext(f"{stream.codec_context.name}_mp4toannexb", stream)
            packets = [one for packet in [*packets, None] for one in filtered.filter(packet)]
        units = [bytes(packet) for packet in packets]
    for number in damaged:
        units[number] = units[number][:KEPT] + b"\xa5" * (len(units[number]) - KEPT)
    path.write_bytes(b"".join(struct.pack(">I", len(unit)) + unit for unit in units))
    return path


class RtspCamera:
    """A server at rtsp://127.0.0.1:PORT/live. A context manager.

    Attributes:
        port: where it listens, once started; it stays the same over restarts.
    """

    def __init__(
        self,
        units: Path,
        encoding: str = "H264",
        login: tuple[str, str] | None = None,
        loss: float = 0.0,
        rate: int = 25,
    ) -> None:
        """Prepares.

        Args:
            encoding: H264, H265 or JPEG, with +sound for a camera that hears too.
            loss: the share of RTP packets that get lost, which happens over UDP.
            rate: frames per second.
        """
        self._rate = rate
        self.port = 0
        self._loss = loss
        self._units, self._encoding, self._login = units, encoding, login
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """Returns once it listens."""
        command = [PYTHON, str(SERVER), str(self.port), self._encoding, str(self._loss), *(self._login or ())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.play(self._units, self._rate)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def play(self, units: Path, rate: int = 25) -> None:
        """Shows this from now on, at so many frames per second."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{units}\t{rate}\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """As by a power cut."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        streams: Iterable[object] = (self._process.stdin, self._process.stdout)
        for stream in streams:
            if stream is not None:
                stream.close()  # type: ignore[attr-defined]
        self._process = None

    def restart(self, encoding: str | None = None, units: Path | None = None) -> None:
        """Starts again at the same address, perhaps with another encoding."""
        self.kill()
        self._encoding, self._units = encoding or self._encoding, units or self._units
        self.start()

    def __enter__(self) -> RtspCamera:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
