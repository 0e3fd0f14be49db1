"""The web server: an ASGI application, served in a thread, at an address or at a socket in a folder."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from msflow_stream.types import UserError

log = logging.getLogger(__name__)

LOCAL = "127.0.0.1"
LOOPBACK = ["127.0.0.1", "::1"]  # the peers that may say for whom they ask: reverse proxies on this machine
REQUEST_SECONDS = 30.0  # in which a request's head must come
CLOSE_SECONDS = 5  # for what is being answered
HEAD_BYTES = 32 * 2**10


class WebServer:
    """A server of an application, with a thread of its own. A context manager, to be used once.

    >>> with WebServer(app, ("127.0.0.1", 9840)) as server:  # doctest: +SKIP
    ...     print(server.url)

    Args:
        app: what is served.
        where: host and port of this machine, or the path of a socket that only this user may reach. A host of None is
            127.0.0.1; what listens elsewhere is for all to reach. Port 0 is any free one.
        name: what errors call it, and its thread's name.
        sockets: whether the application has WebSockets.
        behind_proxy: whether a peer on this machine may say for whom it asks, by `X-Forwarded-For` and `-Proto`.
        most: connections at once; while there are as many, all that is asked is answered by 503. None: any number.

    Attributes:
        host, port: the address, "" and 0 for a socket.
    """

    def __init__(
        self,
        app: ASGIApp,
        where: tuple[str | None, int] | Path,
        *,
        name: str = "health server",
        sockets: bool = False,
        behind_proxy: bool = False,
        most: int | None = None,
    ) -> None:
        self._where, self._name = where, name
        self.host, self.port = "", 0
        if not isinstance(where, Path):
            self.host, self.port = (where[0] or LOCAL).removeprefix("[").removesuffix("]"), where[1]
        protocol: Literal["wsproto", "none"] = "wsproto" if sockets else "none"
        self._config = Config(
            app,
            loop="asyncio",
            http=PromptProtocol,
            ws=protocol,
            ws_max_size=64 * 2**10,  # bytes of a message that comes in
            ws_per_message_deflate=False,  # JPEGs become no smaller
            log_config=None,
            log_level="error",  # a peer that went away or talks nonsense is no trouble of ours
            access_log=False,
            server_header=False,
            proxy_headers=behind_proxy,
            forwarded_allow_ips=LOOPBACK,
            timeout_graceful_shutdown=CLOSE_SECONDS,
            limit_concurrency=most,
            h11_max_incomplete_event_size=HEAD_BYTES,
        )
        self._server: ReadyServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address at which it is found."""
        return f"http://{_shown(self.host)}:{self.port}/"

    @property
    def runs(self) -> bool:
        """True until it has ended, or failed."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Listens and returns; `port` is then the real one.

        Raises:
            UserError: it cannot listen there.
        """
        if isinstance(self._where, Path):
            listener = _listen_at(self._where)
        else:
            listener = _listen(self.host, self.port, self._name)
            self.port = listener.getsockname()[1]
        self._server = ReadyServer(self._config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name=self._name, daemon=True)
        self._thread.start()
        self._server.ready.wait()

    def close(self) -> None:
        """Ends; what is being answered is finished, within 5 s. Twice is fine."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join()
        self._thread = None
        if isinstance(self._where, Path):
            self._where.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ReadyServer(Server):
    """A server that says when it answers.

    Attributes:
        ready: set once it does, or has failed to begin.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Answers until it is to end."""
        try:
            super().run(sockets)
        except (Exception, SystemExit):
            log.exception("the web server has failed")
        finally:
            self.ready.set()
            for one in sockets or []:
                one.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to answer."""
        await super().startup(sockets)
        self.ready.set()


class PromptProtocol(H11Protocol):
    """HTTP that ends a connection on which no whole request comes for long: who says nothing holds nothing."""

    def connection_made(self, transport: Any) -> None:
        """Begins, and begins to count the seconds."""
        super().connection_made(transport)
        self._answered: object = None  # the last request when it was looked at
        self._look: asyncio.TimerHandle = self.loop.call_later(REQUEST_SECONDS, self._end_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends."""
        self._look.cancel()
        super().connection_lost(exc)

    def _end_if_silent(self) -> None:
        if self not in self.connections:  # it has become a WebSocket
            return
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self.cycle is self._answered:
            self.transport.close()
            return
        self._answered = self.cycle
        self._look = self.loop.call_later(REQUEST_SECONDS, self._end_if_silent)


def _listen(host: str, port: int, name: str) -> socket.socket:
    where = f"{_shown(host)}:{port}"
    if not 0 <= port <= 65535:
        raise UserError(f"{name}: {port} is no port; give one from 0 (any free one) to 65535")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # so that :: means every address
        return socket.create_server(address[:2], family=family, dualstack_ipv6=both)
    except (socket.gaierror, UnicodeError):
        raise UserError(f"{name}: {host!r} is no address; give one of this machine, such as {LOCAL}") from None
    except OSError as error:
        raise UserError(f"{name}: cannot listen at {where}: {_advice(error)}") from None


def _listen_at(path: Path) -> socket.socket:
    """Returns a socket in a folder; one that a dead program left there is replaced.

    Raises:
        UserError: there can be none.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)
        listener.bind(os.fspath(path))
        path.chmod(0o600)  # before it listens: nobody else can have connected
        listener.listen()
    except OSError as error:
        listener.close()
        raise UserError(f"cannot make the socket {path}: {error.strerror or error}") from None
    return listener


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
