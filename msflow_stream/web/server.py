"""The HTTP server that Prometheus, probes and people ask how the watch is doing."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from waitress.server import create_server
from waitress.wasyncore import close_all

from msflow_stream.types import UserError
from msflow_stream.watch.report import Alive, WatchReport
from msflow_stream.web.pages import Pages

LOCAL = "127.0.0.1"
THREADS = 4  # a probe is answered while a scrape is
LIMITS = {  # on what a stranger may cost
    "channel_timeout": 30,  # seconds
    "max_request_header_size": 16384,
    "max_request_body_size": 4096,
}


class HealthServer:
    """A server of `Pages`, with threads of its own. A context manager, to be used once.

    >>> with HealthServer(None, 9465, report, alive) as server:  # doctest: +SKIP
    ...     print(server.url)

    Args:
        host: an address or name of this machine, None for 127.0.0.1. What listens elsewhere is for all to read.
        port: 0 for any free one.
        report, alive: as for Pages.
    """

    def __init__(
        self, host: str | None, port: int, report: Callable[[], WatchReport], alive: Alive | None = None
    ) -> None:
        self.host, self.port = (host or LOCAL).removeprefix("[").removesuffix("]"), port
        self._pages = Pages(report, alive)
        self._server: Any = None  # waitress has no types
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address at which it is found."""
        return f"http://{_shown(self.host)}:{self.port}/"

    def start(self) -> None:
        """Listens and returns; `port` is then the real one.

        Raises:
            UserError: it cannot listen there.
        """
        listener = _listen(self.host, self.port)
        self.port = listener.getsockname()[1]
        # Else it warns whenever more than THREADS ask at once.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._server = create_server(
            self._pages,
            sockets=[listener],
            threads=THREADS,
            ident="",
            log_socket_errors=False,  # an asker that went away is no trouble of ours
            asyncore_use_poll=True,  # select() fails once many cameras have taken the first 1024 descriptors
            **LIMITS,
        )
        self._thread = threading.Thread(target=self._server.run, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends; what is being answered is finished, within 5 s."""
        if self._thread is not None:
            self._server.trigger.pull_trigger(self._shut)
            self._thread.join()
            self._thread = None

    def _shut(self) -> None:
        """Closes all, in the server's thread, which ends when it has nothing left to listen to."""
        self._server.task_dispatcher.shutdown()
        close_all(self._server._map)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _listen(host: str, port: int) -> socket.socket:
    where = f"{_shown(host)}:{port}"
    if not 0 <= port <= 65535:
        raise UserError(f"health server: {port} is no port; give one from 0 (any free one) to 65535")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # so that :: means every address
        return socket.create_server(address[:2], family=family, dualstack_ipv6=both)
    except (socket.gaierror, UnicodeError):
        raise UserError(f"health server: {host!r} is no address; give one of this machine, such as {LOCAL}") from None
    except OSError as error:
        raise UserError(f"health server: cannot listen at {where}: {_advice(error)}") from None


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "the port is in use; give another one, or 0 for any free one"
        case errno.EACCES:
            return "this port is for the system's administrator; give one from 1024 on"
        case errno.EADDRNOTAVAIL:
            return f"this machine has no such address; give one it has, or {LOCAL}"
    return f"{error.strerror}; give another address or port"


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
