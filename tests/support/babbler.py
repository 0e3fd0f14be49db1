"""A server that sends garbage."""

from __future__ import annotations

import contextlib
import socket
import threading

import numpy as np


class Babbler:
    """Sends a mebibyte of random bytes to whoever connects."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._babble, daemon=True)

    def _babble(self) -> None:
        random = np.random.default_rng(0)
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                client.sendall(random.bytes(1 << 20))

    def __enter__(self) -> Babbler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)
