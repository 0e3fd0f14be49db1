"""Cameras for measurements: a process that shows a video in real time, for ever, to whoever connects over HTTP."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.video.stream import VideoStream


class Stream:
    """The coded pictures of a file, as MPEG-TS that begins with its first picture whenever a viewer comes."""

    def __init__(self, video: Path) -> None:
        self._container = av.open(str(video))
        self._source: VideoStream = self._container.streams.video[0]
        packets = [packet for packet in self._container.demux(self._source) if packet.size]
        assert self._source.time_base is not None
        self._time_base: Fraction = self._source.time_base
        self._start = packets[0].pts or 0
        self._length = (packets[-1].pts or 0) - self._start + (packets[-1].duration or 1)
        self._packets = [
            (bytes(p), (p.pts or 0) - self._start, (p.dts or 0) - self._start, p.is_keyframe) for p in packets
        ]

    def show(self, viewer: BufferedIOBase) -> None:
        """Sends it at the speed of a camera until the viewer leaves."""
        with av.open(_Unseekable(viewer), "w", format="mpegts") as output:
            stream = output.add_stream_from_template(self._source)
            begin, shift = time.monotonic(), 0
            while True:
                for data, pts, dts, key in self._packets:
                    time.sleep(max(0.0, begin + float((shift + dts) * self._time_base) - time.monotonic()))
                    packet: Any = Packet(data)
                    packet.stream, packet.time_base = stream, self._time_base
                    packet.pts, packet.dts, packet.is_keyframe = shift + pts, shift + dts, key
                    output.mux(packet)
                shift += self._length


class _Unseekable:
    """A socket that PyAV writes to, in which nobody can go back."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._file.flush()
        return len(data)


def serve(video: Path) -> ThreadingHTTPServer:
    """A server of this video at any path, on a free port of this machine."""
    stream = Stream(video)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            with suppress(OSError, av.FFmpegError):  # the viewer has left
                stream.show(self.wfile)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server


if __name__ == "__main__":
    cameras = serve(Path(sys.argv[1]))
    sys.stdout.write(f"{cameras.server_port}\n")
    sys.stdout.flush()
    cameras.serve_forever()
