"""Health: how the cameras, the process and the alerts are doing, and what the watch said in the last hour."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msflow_stream.types import UserError
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.drift_view import DriftShown
from msflow_stream.web.console.health_view import (
    away_camera,
    camera_health,
    log_lines,
    process_facts,
    readable,
)
from msflow_stream.web.console.routing import call, page
from msflow_stream.web.watch_client import WatchAway
from msflow_stream.web.watch_record import WatchRecord

LEVELS = {"INFO": "everything", "WARNING": "warnings and errors", "ERROR": "errors"}


@page("/health", menu="Health", order=5)
async def health(request: Request, console: Console) -> Response:
    """Shows the page; its script asks for the same again and takes over what has changed."""
    return console.render(request, "health.html.j2", **await _values(request, console))


@call("/api/alerts/{name}/test", needs=Role.ADMIN, methods=("POST",))
async def test_alert(request: Request, console: Console) -> Response:
    """Has an alert tell its receiver something; answers with what became of it."""
    name = await _known_alert(request, console)
    try:
        said = await console.watch.test_alert(name)
    except UserError as error:
        await _audit(request, console, "test alert", name, {"error": str(error)})
        return JSONResponse({"error": str(error)}, 502)
    except WatchAway:
        raise HTTPException(503, "the watch is not running") from None
    await _audit(request, console, "test alert", name, {"said": said})
    return JSONResponse({"said": said})


@call("/api/alerts/{name}/retry", needs=Role.ADMIN, methods=("POST",))
async def retry_alert(request: Request, console: Console) -> Response:
    """Has an alert try its dead letters again; answers with their number."""
    name = await _known_alert(request, console)
    try:
        queued = await console.watch.retry_alert(name)
    except WatchAway:
        raise HTTPException(503, "the watch is not running") from None
    await _audit(request, console, "retry alert", name, {"queued": queued})
    return JSONResponse({"queued": queued})


async def _values(request: Request, console: Console) -> dict[str, Any]:
    """Returns what the page shows to a person: of the cameras that they may see, the log if those are all."""
    now, user = datetime.now(UTC), console.user(request)
    names = await run_in_threadpool(console.cameras, request)
    level, text = request.query_params.get("level", "INFO"), request.query_params.get("text", "")[:200]
    shown: dict[str, Any] = {
        "levels": LEVELS,
        "level": level if level in LEVELS else "INFO",
        "text": text,
        "report": None,
        "log": None,
        "found": 0,
        "process": [],
        "alerts": {},
        "sees_log": user.role.covers(Role.OPERATOR) and user.cameras is None,
        "may_manage": user.role.covers(Role.ADMIN),
        "record": await run_in_threadpool(_record, console) if user.role.covers(Role.OPERATOR) else None,
        "disk": await run_in_threadpool(_disk, console),
        "readable": readable,
        "drifts": await run_in_threadpool(_drifts, console, names),
    }
    try:
        report = await console.watch.report()
        lines = await console.watch.log() if shown["sees_log"] else []
    except WatchAway:
        folders = [(name, console.out / name) for name in names]
        shown["cameras"] = await run_in_threadpool(lambda: [away_camera(*one, now) for one in folders])
        return shown
    seen = set(names)
    shown |= {
        "report": report,
        "cameras": [camera_health(one, now) for one in report["cameras"] if one["name"] in seen],
        "process": process_facts(report),
        "alerts": report["alerts"] if user.role.covers(Role.OPERATOR) else {},
    }
    if shown["sees_log"]:
        shown["log"], shown["found"] = log_lines(lines, shown["level"], text)
    return shown


async def _audit(request: Request, console: Console, action: str, name: str, details: dict[str, Any]) -> None:
    await run_in_threadpool(console.accounts.audit, console.user(request).name, action, name, details)


async def _known_alert(request: Request, console: Console) -> str:
    """Returns the name of an alert that the watch has.

    Raises:
        HTTPException: there is none, or no watch.
    """
    asked = request.path_params["name"]
    try:
        known = (await console.watch.report())["alerts"]
    except WatchAway:
        raise HTTPException(503, "the watch is not running") from None
    for name in known:
        if name == asked:
            return str(name)
    raise HTTPException(404, "there is no such alert")


def _drifts(console: Console, names: Sequence[str]) -> dict[str, list[DriftShown]]:
    try:
        settings = console.camera_settings()
    except UserError:  # a cameras file that somebody is editing
        return {}
    return console.drifts.of_all(names, settings)


def _record(console: Console) -> WatchRecord | None:
    try:
        return console.watch.record()
    except UserError:  # a damaged one is no reason not to say what is known
        return None


def _disk(console: Console) -> dict[str, int] | None:
    try:
        usage = shutil.disk_usage(console.out)
    except OSError:
        return None
    return {"free": usage.free, "total": usage.total}
