"""The gate before all pages: it says who asks, and turns away what another site sends in a person's name."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from msflow_stream.logs import Outage
from msflow_stream.types import UserError
from msflow_stream.web.access.audit import ASKED_FROM
from msflow_stream.web.access.cookie import cookie_name, tokens
from msflow_stream.web.access.origin import (
    SAFE,
    address_of,
    foreign_read,
    foreign_to_machine,
    foreign_write,
    is_followed_link,
)
from msflow_stream.web.access.roles import LOCAL, User

if TYPE_CHECKING:
    from msflow_stream.web.console.context import Console

log = logging.getLogger(__name__)

MOST_BODY = 256 * 2**10  # bytes; areas of a camera are the largest thing that is sent here
AWAY = "the console's database is away; its log says more"  # to somebody of whom nothing is known
LOOK_AGAIN = 5.0  # seconds after which an open WebSocket's session is looked up again
AGAIN = '<!doctype html><html lang="en"><meta http-equiv="refresh" content="0"><title>msflow-stream</title></html>'


class Gate:
    """Middleware that sets `state["user"]` of every request and WebSocket: a User, None if nobody is signed in.

    Where there are no users, access is off: then whoever sits at this machine may do everything, and nobody else
    anything. What changes something has to come from the console's own pages.
    """

    def __init__(self, app: ASGIApp, console: Console) -> None:
        self._app, self._console = app, console
        self._trouble = Outage(log)
        self._cookie = cookie_name(console.store.name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        scope.setdefault("state", {})["user"] = None
        ASKED_FROM.set(address_of(connection))
        if scope["type"] == "websocket":
            await self._socket(connection, receive, send)
            return
        answer = await self._before(connection)
        await (answer or self._app)(scope, receive, send)

    async def _before(self, connection: HTTPConnection) -> Response | None:
        """Finds out who asks, and returns the answer to what goes no further; None: it may go on."""
        scope = connection.scope
        if _length(connection) > MOST_BODY:
            return self._refusal(connection, 413, "this is too large")
        safe = scope["method"] in SAFE
        if said := foreign_read(connection) if safe else foreign_write(connection):
            return self._refusal(connection, 403, said)
        if safe and "/static/" in scope["path"]:
            return None
        try:
            user = await run_in_threadpool(self.who, connection)
        except PermissionError as error:
            return self._refusal(connection, 403, str(error))
        except UserError as error:
            self._trouble.begin(str(error))
            if scope["path"] == "/healthz":
                return None
            return self._refusal(connection, 503, AWAY if foreign_to_machine(connection) else str(error))
        self._trouble.end("the database of people answers again")
        if user is None and safe and is_followed_link(connection):
            return HTMLResponse(AGAIN)  # which the browser follows as the console's own, with its cookie
        scope["state"]["user"] = user
        return None

    async def _socket(self, connection: HTTPConnection, receive: Receive, send: Send) -> None:
        """Serves a WebSocket until whoever opened it is signed out, or is not who they were."""
        scope, looked = connection.scope, time.monotonic()
        try:
            user = None if foreign_write(connection) else await run_in_threadpool(self.who, connection)
        except (PermissionError, UserError):
            user = None
        if user is None:
            await send({"type": "websocket.close", "code": 1008})
            return
        scope["state"]["user"] = user

        async def send_while_known(message: Message) -> None:
            nonlocal looked
            if message["type"] == "websocket.send" and time.monotonic() - looked > LOOK_AGAIN:
                looked = time.monotonic()
                if await run_in_threadpool(self._is_still, user, connection) is False:
                    await send({"type": "websocket.close", "code": 1008})
                    raise OSError("the session has ended")  # as of a browser that went away
            await send(message)

        await self._app(scope, receive, send_while_known)

    def who(self, connection: HTTPConnection) -> User | None:
        """Returns who asks; None where nobody is signed in.

        Raises:
            PermissionError: access is off, and this does not come from this machine.
            StoreUnavailable: the database is away.
        """
        accounts = self._console.accounts
        for token in tokens(connection, self._cookie):
            if (user := accounts.user(token)) is not None:
                return user
        if accounts.any():
            return None
        if said := foreign_to_machine(connection):
            raise PermissionError(said)
        return LOCAL

    def _is_still(self, user: User, connection: HTTPConnection) -> bool:
        """Returns whether whoever opened a WebSocket is signed in, and may what they might; a lost database passes."""
        try:
            return self.who(connection) == user
        except PermissionError:
            return False
        except UserError:
            return True

    def _refusal(self, connection: HTTPConnection, status: int, text: str) -> Response:
        if "text/html" in connection.headers.get("accept", ""):
            request = Request(connection.scope)
            return self._console.render(request, "failure.html.j2", status=status, text=text)
        return JSONResponse({"error": text}, status)


def _length(connection: HTTPConnection) -> int:
    """Returns the length that a request says its body has; the handlers count what says nothing."""
    said = connection.headers.get("content-length", "0")
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 19 else 0
