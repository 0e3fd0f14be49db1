"""The live wall: all cameras as tiles."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from msflow_stream.web.console.context import Console
from msflow_stream.web.console.routing import page
from msflow_stream.web.live.status import for_user


@page("/", menu="Live", order=1)
async def wall(request: Request, console: Console) -> Response:
    """Shows the page."""
    status = for_user(await console.live.status.soon(), console.user(request).sees)
    return console.render(request, "wall.html.j2", **status)
