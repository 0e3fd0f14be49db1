"""A small web server for tests: files of a folder, streams made while they are sent, errors, and a login."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Stream = tuple[str, Callable[[], Iterator[bytes]]]  # content type, and what is sent piece by piece


class Pages:
    """Serves at http://127.0.0.1:PORT/. A context manager.

    Attributes:
        asked: the paths asked for so far.
    """

    def __init__(
        self,
        folder: Path,
        *,
        streams: Mapping[str, Stream] | None = None,
        errors: Mapping[str, int] | None = None,
        login: str | None = None,
    ) -> None:
        """`streams` and `errors` (status codes, which may change) are by path; `login` is the USER:PASSWORD to give."""
        self.asked: list[str] = []
        asked, streams, errors = self.asked, streams or {}, {} if errors is None else errors
        demanded = None if login is None else "Basic " + base64.b64encode(login.encode()).decode()

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args: object) -> None:
                super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                path = self.path.partition("?")[0].lstrip("/")
                asked.append(path)
                if demanded is not None and self.headers.get("Authorization") != demanded:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                elif path in errors:
                    self.send_error(errors[path])
                elif path in streams:
                    self._stream(*streams[path])
                else:
                    with contextlib.suppress(OSError):  # the viewer has left
                        super().do_GET()

            def _stream(self, kind: str, pieces: Callable[[], Iterator[bytes]]) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                with contextlib.suppress(OSError):
                    for piece in pieces():
                        self.wfile.write(piece)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def url(self, path: str, login: str = "") -> str:
        """`login` is USER:PASSWORD."""
        return f"http://{login and login + '@'}127.0.0.1:{self._server.server_port}/{path}"

    def __enter__(self) -> Pages:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
