"""One RTSP session that pushes RTP packets to a server, all over one TCP connection (RFC 2326: ANNOUNCE, RECORD)."""

# Why not FFmpeg's muxer: it holds Python's lock while it waits for the server, and with it every other camera. A child
# process for each camera was tried, with PyAV 18.1 against GStreamer's server. It works, but costs 34 to 52 MB,
# 0.25 s of CPU time for each attempt to connect, and up to a third more for each frame of 720 lines, which crosses a
# pipe; it cannot log in by Digest with SHA-256, and says no more than "Input/output error" of an unknown host or of a
# certificate that is not trusted.

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, NamedTuple

from msflow_stream.watch.outputs.rtsp_login import Address, authorization

AGENT = "msflow-stream"
LINE_BYTES, HEADER_LINES, BODY_BYTES = 8192, 100, 2**20  # more is not an answer
LINGER_SECONDS = 1.0  # for the server to hear of the end
RTCP = range(192, 224)  # the second byte of a packet that is not RTP (RFC 5761)


class PublishError(Exception):
    """An error that says why the server is not reached, or no longer; never holds any of the URL."""

    def __init__(self, reason: str, credentials: bool = False) -> None:
        super().__init__(reason)
        self.credentials = credentials


class Answer(NamedTuple):
    """A server's response; the names of headers are lower case."""

    status: int
    headers: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        """Returns the values of all headers of that name."""
        return [value for key, value in self.headers if key == name]


class RtspPublisher:
    """A session from ANNOUNCE to TEARDOWN. To be closed."""

    def __init__(self, address: Address, description: str, timeout: float) -> None:
        """Connects and starts the session.

        Args:
            description: the SDP of one stream, with the control name streamid=0.
            timeout: seconds that each step may take.

        Raises:
            PublishError: the server is not there, or refuses.
        """
        self._address, self._timeout = address, timeout
        self._number = 0
        self._session: str | None = None
        self._challenges: list[str] = []
        try:
            self._socket = _connected(address, timeout)
        except OSError as error:
            raise PublishError(_reason(error, timeout)) from None
        try:
            self._answers = self._socket.makefile("rb")
            self._start(description)
        except OSError as error:
            self._shut()
            raise PublishError(_reason(error, timeout)) from None
        except BaseException:
            self._shut()
            raise

    def send(self, packets: Iterable[bytes]) -> None:
        """Sends RTP and RTCP packets.

        Raises:
            PublishError: the server is gone, or takes nothing for the length of the timeout.
        """
        framed = b"".join(
            b"$" + bytes([self._channel + (packet[1] in RTCP)]) + len(packet).to_bytes(2) + packet for packet in packets
        )
        try:
            self._drain()
            self._socket.settimeout(self._timeout)
            self._socket.sendall(framed)
        except OSError as error:
            raise PublishError(_reason(error, self._timeout)) from None

    def close(self) -> None:
        """Ends the session, politely if the server is still there; twice is fine."""
        with suppress(OSError):
            self._socket.settimeout(min(LINGER_SECONDS, self._timeout))
            self._ask("TEARDOWN", self._address.url, {}, b"")
            self._socket.shutdown(socket.SHUT_WR)
            for _ in range(100):  # unread bytes would turn the end into a reset, which overtakes the last frames
                if not self._socket.recv(65536):
                    break
        self._shut()

    def _start(self, description: str) -> None:
        url = self._address.url
        self._request("ANNOUNCE", url, {"Content-Type": "application/sdp"}, description.encode())
        transport = "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"
        answer = self._request("SETUP", f"{url}/streamid=0", {"Transport": transport})
        channel = re.search(r"interleaved=(\d{1,3})", ";".join(answer.all("transport")))
        self._channel = min(254, int(channel[1])) if channel else 0
        self._request("RECORD", url, {"Range": "npt=0.000-"})

    def _request(self, method: str, url: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        """Asks, with credentials if the server wants them, and reads the answer, which is a good one."""
        self._ask(method, url, headers, body)
        answer = self._read()
        if answer.status == 401 and self._address.user is not None:
            self._challenges = answer.all("www-authenticate")
            self._ask(method, url, headers, body)
            answer = self._read()
        if answer.status in (401, 403):
            raise PublishError("the server refuses the credentials; check user and password", credentials=True)
        if answer.status != 200:
            raise PublishError(f"the server answers {method} with {answer.status}")
        for session in answer.all("session"):
            self._session = session.partition(";")[0].strip()
        return answer

    def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes) -> None:
        self._number += 1
        lines = {"CSeq": str(self._number), "User-Agent": AGENT, **headers}
        if self._session is not None:
            lines["Session"] = self._session
        if body:
            lines["Content-Length"] = str(len(body))
        if self._challenges and self._address.user is not None:
            login = authorization(self._challenges, method, url, self._address.user, self._address.password)
            if login is not None:
                lines["Authorization"] = login
        head = f"{method} {url} RTSP/1.0\r\n" + "".join(f"{key}: {value}\r\n" for key, value in lines.items())
        self._socket.sendall(head.encode() + b"\r\n" + body)

    def _read(self) -> Answer:
        """Returns the next answer; packets that come before it are passed over."""
        while self._exactly(1) == b"$":
            self._exactly(int.from_bytes(self._exactly(3)[1:]))
        status = re.match(r"TSP/1\.\d (\d{3})\b", self._line())
        if status is None:
            raise PublishError("what answers is not an RTSP server")
        headers = []
        for _ in range(HEADER_LINES):
            line = self._line()
            if not line:
                break
            key, _, value = line.partition(":")
            headers.append((key.strip().lower(), value.strip()))
        answer = Answer(int(status[1]), headers)
        lengths = [int(text) for text in answer.all("content-length") if text.isdecimal()]
        self._exactly(min(BODY_BYTES, max(lengths, default=0)))
        return answer

    def _line(self) -> str:
        return self._answers.readline(LINE_BYTES).decode("latin-1").rstrip("\r\n")

    def _exactly(self, size: int) -> bytes:
        content = self._answers.read(size)
        if len(content) < size:
            raise PublishError("the server closed the connection")
        return content

    def _drain(self) -> None:
        """Takes in what the server sends, which is of no interest, before it fills the connection."""
        self._socket.settimeout(0)
        with suppress(BlockingIOError, ssl.SSLWantReadError):
            while self._socket.recv(65536):
                pass
            raise PublishError("the server closed the connection")

    def _shut(self) -> None:
        answers: IO[bytes] | None = getattr(self, "_answers", None)
        if answers is not None:
            answers.close()
        self._socket.close()


def _connected(address: Address, timeout: float) -> socket.socket:
    plain = socket.create_connection((address.host, address.port), timeout)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not address.tls:
            return plain
        return ssl.create_default_context().wrap_socket(plain, server_hostname=address.host)
    except BaseException:
        plain.close()
        raise


def _reason(error: OSError, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    return error.strerror or type(error).__name__
