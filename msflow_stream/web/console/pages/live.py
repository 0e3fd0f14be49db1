"""Frames and states while they are new: the live socket, and the same by polling."""

from __future__ import annotations

import asyncio
import json

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from msflow_stream.web.console.context import Console
from msflow_stream.web.console.routing import call, socket
from msflow_stream.web.live.relay import LARGE_PACE, TILE_PACE, View, fitting
from msflow_stream.web.live.socket import TRY_AGAIN, Viewer, facts_of
from msflow_stream.web.live.status import for_user
from msflow_stream.web.watch_client import WatchAway

DEFAULT_WIDTH, LARGE = 480, 960
LONGEST_WAIT = 8  # seconds for a newer frame
DRAWN = 4  # seconds more, until it is drawn, or another browser's longer wait for it is over


@socket("/live")
async def live_socket(connection: WebSocket, console: Console) -> None:
    """Sends frames and states for as long as the browser looks."""

    async def cameras() -> frozenset[str]:
        return frozenset(await run_in_threadpool(console.cameras, connection))

    with console.live.viewer(console.user(connection).name) as has_room:
        if not has_room:
            await connection.close(TRY_AGAIN)
            return
        await Viewer(connection, console.live.relay, console.live.status, cameras).run()


@call("/status")
async def status(request: Request, console: Console) -> Response:
    """Returns how the cameras are that the person may see."""
    return JSONResponse(for_user(await console.live.status.now(), console.user(request).sees))


@call("/cameras/{name}/frame.jpg")
async def frame(request: Request, console: Console) -> Response:
    """Returns the newest frame with its overlay, one after the sequence `after` within `wait` seconds."""
    return await image(request, console, plain=False)


@call("/cameras/{name}/plain.jpg")
async def plain(request: Request, console: Console) -> Response:
    """Returns the newest frame as the camera sent it, privacy areas apart."""
    return await image(request, console, plain=True)


async def image(request: Request, console: Console, plain: bool) -> Response:
    """Returns a frame and, in the header X-Frame, its facts; 204 where none is newer for a while."""
    name = await run_in_threadpool(console.check_camera, request, request.path_params["name"])
    width, after, wait = (
        asked(request, *one) for one in (("width", DEFAULT_WIDTH), ("after", -1), ("wait", LONGEST_WAIT))
    )
    view = View(name, fitting(width), plain)
    patience = max(0, min(wait, LONGEST_WAIT))
    pace = LARGE_PACE if view.width >= LARGE else TILE_PACE
    try:
        async with asyncio.timeout(patience + DRAWN):
            found = await console.live.relay.frame(view, after, pace, patience)
    except TimeoutError:
        found = None
    except WatchAway:
        raise HTTPException(503, "the watch is not running") from None
    if found is None:
        return Response(status_code=204)
    return Response(found.jpeg, media_type="image/jpeg", headers={"X-Frame": json.dumps(facts_of(found))})


def asked(request: Request, key: str, default: int) -> int:
    """Returns a whole number of a request's query.

    Raises:
        HTTPException: it is none.
    """
    text = request.query_params.get(key, str(default))
    try:
        return int(text[:20])
    except ValueError:
        raise HTTPException(400, f"{key} is a whole number") from None
