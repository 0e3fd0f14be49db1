"""What programs ask that look after others, answered by the watch: metrics, health and readiness."""

from __future__ import annotations

import json

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.routing import call
from msflow_stream.web.watch_client import WatchAway


@call("/healthz", needs=None)
async def healthz(request: Request, console: Console) -> Response:
    """Returns whether the watch works; that the console does, an answer shows."""
    try:
        answer = await console.watch.health("/healthz")
    except WatchAway as error:
        return PlainTextResponse(f"{error}\n", 503)
    return Response(answer.body, answer.status, media_type=answer.kind)


@call("/readyz")
async def readyz(request: Request, console: Console) -> Response:
    """Returns whether the watch has begun to score, and how each camera is doing that a person may see."""
    try:
        answer = await console.watch.health("/readyz")
    except WatchAway as error:
        return JSONResponse({"ready": False, "reasons": [str(error)], "cameras": []}, 503)
    try:
        user, values = console.user(request), json.loads(answer.body)
    except ValueError:
        return JSONResponse({"ready": False, "reasons": ["the watch is in trouble"], "cameras": []}, 503)
    values["cameras"] = [one for one in values["cameras"] if user.sees(one["name"])]
    return JSONResponse(values, answer.status)


@call("/metrics", needs=Role.VIEWER)
async def metrics(request: Request, console: Console) -> Response:
    """Returns all metrics, to people who may see all cameras."""
    if console.user(request).cameras is not None:
        raise HTTPException(403, "the metrics are of all cameras; you may see some")
    try:
        answer = await console.watch.health("/metrics", request.headers.get("accept", "*/*"))
    except WatchAway as error:
        return PlainTextResponse(f"{error}\n", 503)
    return Response(answer.body, answer.status, headers={"Content-Type": answer.kind})
