"""Routes of the console: what each needs of a person, checked in one place for all."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from msflow_stream.events.store import StoreUnavailable
from msflow_stream.types import UserError
from msflow_stream.web.access.gate import MOST_BODY
from msflow_stream.web.access.roles import Role, User
from msflow_stream.web.console import pages

if TYPE_CHECKING:
    from msflow_stream.web.console.context import Console

log = logging.getLogger(__name__)

Handler = Callable[[Request, "Console"], Response | Awaitable[Response]]
SocketHandler = Callable[[WebSocket, "Console"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ConsoleRoute:
    """A route: its path and methods, what it needs, and its handler, which may wait (async) or work in a thread.

    Attributes:
        needs: the least role; None: nobody has to be signed in.
        menu: its name in the menu, None for a page that is reached in another way.
        order: its place in the menu.
        is_page: it answers with a page for people; else with JSON, images or files for programs.
        is_slow: its handler, which works in a thread, may take seconds: few work at once, and leave others threads.
    """

    path: str
    methods: tuple[str, ...]
    needs: Role | None
    handler: Handler | SocketHandler
    menu: str | None = None
    order: int = 0
    is_page: bool = True
    is_socket: bool = False
    is_slow: bool = False

    def mounted(self, console: Console) -> Route | WebSocketRoute:
        """Returns the route as Starlette takes it, with its checks."""
        if self.is_socket:

            async def serve(socket: WebSocket) -> None:
                user: User | None = socket.scope["state"].get("user")
                if self.needs is not None and (user is None or not user.role.covers(self.needs)):
                    await socket.close(1008)
                    return
                await self.handler(socket, console)  # type: ignore[arg-type, misc]

            return WebSocketRoute(self.path, serve)

        async def answer(request: Request) -> Response:
            return refused(self, request, console) or await answered(self, request, console)

        return Route(self.path, answer, methods=list(self.methods))


def page(
    path: str,
    *,
    needs: Role | None = Role.VIEWER,
    methods: tuple[str, ...] = ("GET",),
    menu: str | None = None,
    order: int = 0,
    is_slow: bool = False,
) -> Callable[[Handler], ConsoleRoute]:
    """Returns what makes a page for people of a handler."""
    return lambda handler: ConsoleRoute(path, methods, needs, handler, menu, order, is_slow=is_slow)


def call(
    path: str, *, needs: Role | None = Role.VIEWER, methods: tuple[str, ...] = ("GET",), is_slow: bool = False
) -> Callable[[Handler], ConsoleRoute]:
    """Returns what makes a call for programs of a handler: JSON, an image or a file."""
    return lambda handler: ConsoleRoute(path, methods, needs, handler, is_page=False, is_slow=is_slow)


def socket(path: str, *, needs: Role | None = Role.VIEWER) -> Callable[[SocketHandler], ConsoleRoute]:
    """Returns what makes a WebSocket of a handler."""
    return lambda handler: ConsoleRoute(path, (), needs, handler, is_page=False, is_socket=True)


def all_routes() -> Iterator[ConsoleRoute]:
    """Yields the routes of all pages."""
    for module in iter_modules(pages.__path__):
        found = vars(import_module(f"{pages.__name__}.{module.name}")).values()
        yield from (one for one in found if isinstance(one, ConsoleRoute))


def refused(route: ConsoleRoute, request: Request, console: Console) -> Response | None:
    """Returns the answer to somebody who may not do this; None where they may."""
    user: User | None = request.state.user
    if route.needs is None or (user is not None and user.role.covers(route.needs)):
        return None
    if user is not None:
        return failure(route, request, console, 403, f"this needs the role {route.needs}; yours is {user.role}")
    if not route.is_page:
        return JSONResponse({"error": "sign in first"}, 401)
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{console.root(request)}/sign-in?next={quote(asked, safe='')}", 303)


async def answered(route: ConsoleRoute, request: Request, console: Console) -> Response:
    """Returns the handler's answer, or what went wrong in words."""
    try:
        handler: Any = route.handler
        if inspect.iscoroutinefunction(handler):
            answer: Response = await handler(request, console)
        else:
            answer = await run_sync(handler, request, console, limiter=console.slow if route.is_slow else None)
        return answer
    except HTTPException as error:
        return failure(route, request, console, error.status_code, error.detail)
    except StoreUnavailable as error:
        return failure(route, request, console, 503, str(error))
    except UserError as error:
        return failure(route, request, console, 422, str(error))
    except Exception:
        log.exception("%s cannot be answered", route.path)
        return failure(route, request, console, 500, "this failed; the console's log says why")


def failure(route: ConsoleRoute, request: Request, console: Console, status: int, text: str) -> Response:
    """Returns an error as the route's kind of answer."""
    if route.is_page:
        return console.render(request, "failure.html.j2", status=status, text=text)
    return JSONResponse({"error": text}, status)


async def body_of(request: Request) -> bytes:
    """Returns the body of a request.

    Raises:
        HTTPException: it is too large.
    """
    found = b""
    async for chunk in request.stream():
        found += chunk
        if len(found) > MOST_BODY:
            raise HTTPException(413, "this is too large")
    return found


async def json_of(request: Request) -> dict[str, object]:
    """Returns the JSON object in a request's body.

    Raises:
        HTTPException: it is too large, or none.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send application/json")
    try:
        values = json.loads(await body_of(request) or b"{}")
    except (ValueError, RecursionError):
        raise HTTPException(400, "this is not JSON") from None
    if not isinstance(values, dict):
        raise HTTPException(400, "send a JSON object")
    return values
