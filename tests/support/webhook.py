"""A real web server for tests that takes messages: it answers as told, or hangs, and keeps what it was sent."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal


@dataclass(frozen=True)
class Request:
    """A request and its answer."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    answer: int | Literal["hang"]

    @property
    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.body)
        return message

    @property
    def known_by(self) -> tuple[str, int]:
        """By which a receiver knows that it has a message already."""
        event = self.message["event"]
        return event["id"], event["version"]


class WebReceiver:
    """A web server at http://127.0.0.1:PORT. A context manager.

    Attributes:
        answer: status to answer with, or "hang"; may change at any time.
        requests: all that came, in order.
    """

    def __init__(self, answer: int | Literal["hang"] = 200) -> None:
        self.answer: int | Literal["hang"] = answer
        self.requests: list[Request] = []
        self._freed = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # whoever sent it was killed in the middle: nothing came
                    return
                answer = receiver.answer
                freed = receiver._freed
                receiver.requests.append(Request(self.path, dict(self.headers.items()), body, answer))
                if answer == "hang":
                    freed.wait()
                    return
                with contextlib.suppress(OSError):
                    self.send_response(answer)
                    if 300 <= answer < 400:
                        self.send_header("Location", "/elsewhere")
                    self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def accepted(self) -> list[tuple[str, int]]:
        """What it said yes to: id and version."""
        return [request.known_by for request in list(self.requests) if request.answer == 200]

    def reset(self) -> None:
        """Forgets what came, answers with 200 again, and lets go of those that hang."""
        self._freed.set()
        self._freed = threading.Event()
        self.requests, self.answer = [], 200

    def url(self, path: str = "/hook", login: str = "") -> str:
        """`login` is USER:PASSWORD."""
        return f"http://{login and login + '@'}127.0.0.1:{self._server.server_port}{path}"

    def __enter__(self) -> WebReceiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._freed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
