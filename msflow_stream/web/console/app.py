"""The console's application: all pages behind the gate, and the assets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from msflow_stream.web.access.gate import Gate
from msflow_stream.web.access.headers import SafeHeaders
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import STATIC, Console
from msflow_stream.web.console.routing import ConsoleRoute, all_routes

FOR_EVER = "public, max-age=31536000, immutable"


class Assets(StaticFiles):
    """The assets, below a part of the address that changes with them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Returns a file, to be kept for ever."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = FOR_EVER
        return response


def make_app(console: Console, gate: Callable[..., Gate] = Gate) -> Starlette:
    """Returns the application.

    Args:
        console: what the handlers share.
        gate: makes the gate that says who asks, of an application behind it and what the handlers share.
    """
    routes = list(all_routes())
    console.menu = menu_of(routes)

    @asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await console.watch.aclose()

    async def nothing(request: Request, error: Exception) -> Response:
        return console.render(request, "failure.html.j2", status=404, text="there is no such page")

    return Starlette(
        routes=[
            *(route.mounted(console) for route in routes),
            Mount(f"/static/{console.asset_version}", Assets(directory=STATIC)),
        ],
        middleware=[Middleware(SafeHeaders), Middleware(gate, console=console)],
        exception_handlers={404: nothing},
        lifespan=running,
    )


def menu_of(routes: list[ConsoleRoute]) -> list[tuple[str, str, Role]]:
    """Returns names and paths of the pages in the menu, in their order, and what each needs of a person."""
    shown = sorted((route for route in routes if route.menu is not None), key=lambda route: route.order)
    return [(route.menu or "", route.path, route.needs or Role.VIEWER) for route in shown]
