"""An RTSP server that takes what is pushed to it, for tests, that can be killed and restarted."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from tests.support.rtsp import PYTHON

SERVER = Path(__file__).with_name("rtsp_sink_server.py")


class RtspSink:
    """A server at 127.0.0.1:PORT/live. A context manager.

    Attributes:
        port: where it listens, once started; it stays the same over restarts.
    """

    def __init__(self, folder: Path, login: tuple[str, str, str] | None = None) -> None:
        """`login` is basic or digest, the user and the password; sessions are kept in `folder`."""
        self.port = 0
        self._folder, self._login = folder, login
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """Returns once it listens."""
        command = [PYTHON, str(SERVER), str(self.port), str(self._folder), *(self._login or ())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """As by a power cut."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process = None

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def sessions(self) -> int:
        """How many sessions there were so far."""
        return len(list(self._folder.glob("session-*.h264")))

    def received(self, session: int) -> int:
        """How many frames a session has brought so far."""
        with suppress(OSError, ValueError), av.open(str(self._folder / f"session-{session}.h264")) as container:
            return sum(bool(packet.size) for packet in container.demux(video=0))
        return 0

    def pictures(self, session: int) -> list[npt.NDArray[np.uint8]]:
        """What a session has brought so far, decoded; H x W x 3, RGB."""
        shown: list[npt.NDArray[np.uint8]] = []
        with suppress(OSError, ValueError), av.open(str(self._folder / f"session-{session}.h264")) as container:
            shown.extend(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        return shown

    def __enter__(self) -> RtspSink:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
