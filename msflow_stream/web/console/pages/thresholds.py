"""The thresholds of a camera by their consequence: a dial of false alarms, and what would have been raised."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msflow_stream.scenes.exchange import scene_exists
from msflow_stream.scenes.folder import RECORD, scene_folder
from msflow_stream.types import UserError
from msflow_stream.watch.outputs.activity_file import ACTIVITY
from msflow_stream.watch.replay.activity import Activity, thumbnail
from msflow_stream.watch.replay.applying import apply, last_applied, previewed, undo
from msflow_stream.watch.replay.dial import RATES
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.dialing import dial_values
from msflow_stream.web.console.routing import call, json_of, page
from msflow_stream.web.watch_client import WatchAway

T = TypeVar("T")

MOST_SPAN = timedelta(days=31)
KEPT = "private, max-age=300"  # the thumbnail of a burst that goes on may change


@page("/cameras/{name}/thresholds")
def thresholds(request: Request, console: Console) -> Response:
    """Shows the page."""
    name = console.check_camera(request, request.path_params["name"])
    scenes = scenes_of(console, name)
    wanted = request.query_params.get("scene")
    scene = wanted if wanted in scenes else scenes[0] if scenes else None
    applied = None if scene is None else applied_values(scene_folder(console.scenes, scene))
    may_apply = console.user(request).role.covers(Role.OPERATOR)
    return console.render(
        request, "thresholds.html.j2", camera=name, scenes=scenes, scene=scene, applied=applied, may_apply=may_apply
    )


@call("/cameras/{name}/dial")
def dial_of(request: Request, console: Console) -> Response:
    """Returns the dial of a span, or how much of it is done: ask again until it is there."""
    name = console.check_camera(request, request.path_params["name"])
    folder = folder_of(console, name, request.query_params.get("scene", ""))
    since, until = moment(request, "since"), moment(request, "until")
    if not timedelta(0) < until - since <= MOST_SPAN:
        raise HTTPException(400, f"since and until are a span of at most {MOST_SPAN.days} days")
    key = (name, folder, since, until, changed(folder))
    work = partial(dial_values, console.out / name, folder, name, since, until, console.store)
    job = console.dials.ask(key, work, console.user(request).name)
    if job.error is not None:
        raise HTTPException(422, job.error)
    return JSONResponse({"done": job.share} if job.result is None else job.result)


@call("/cameras/{name}/bursts/{id:int}")
def burst_of(request: Request, console: Console) -> Response:
    """Returns the thumbnail of a burst of activity."""
    name = console.check_camera(request, request.path_params["name"])
    id = request.path_params["id"]
    jpeg = thumbnail(console.out / name / ACTIVITY, id) if id < 2**63 else None
    if jpeg is None:
        raise HTTPException(404, "there is no such image")
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": KEPT})


@call("/cameras/{name}/promise")
def promise(request: Request, console: Console) -> Response:
    """Returns in sentences what thresholds for a rate of false alarms rest on and promise."""
    name = console.check_camera(request, request.path_params["name"])
    folder = folder_of(console, name, request.query_params.get("scene", ""))
    return JSONResponse({"said": list(previewed(folder, rate_of(request.query_params.get("rate"))))})


@call("/cameras/{name}/thresholds", needs=Role.OPERATOR, methods=("POST",))
async def apply_rate(request: Request, console: Console) -> Response:
    """Calibrates the scene for a rate of false alarms; the watch takes it up."""
    name = await run_in_threadpool(console.check_camera, request, request.path_params["name"])
    values = await json_of(request)
    folder = await run_in_threadpool(shared_by_all, request, console, name, values.get("scene"))
    rate, by = rate_of(values.get("rate")), console.user(request).name
    said = await run_in_threadpool(alone, console, apply, folder, rate, by)
    details = {"scene": folder.name, "false_alarms_per_hour": rate}
    await run_in_threadpool(console.accounts.audit, by, "thresholds", name, details)
    watch, applied = await taken_up(console), await run_in_threadpool(applied_values, folder)
    return JSONResponse({"said": list(said), "watch": watch, "applied": applied})


@call("/cameras/{name}/thresholds/undo", needs=Role.OPERATOR, methods=("POST",))
async def undo_rate(request: Request, console: Console) -> Response:
    """Puts back the scene's calibration before the last one that was applied; the watch takes it up."""
    name = await run_in_threadpool(console.check_camera, request, request.path_params["name"])
    values = await json_of(request)
    folder = await run_in_threadpool(shared_by_all, request, console, name, values.get("scene"))
    by = console.user(request).name
    await run_in_threadpool(alone, console, undo, folder)
    await run_in_threadpool(console.accounts.audit, by, "thresholds undone", name, {"scene": folder.name})
    watch, applied = await taken_up(console), await run_in_threadpool(applied_values, folder)
    return JSONResponse({"watch": watch, "applied": applied})


def alone(console: Console, work: Callable[..., T], *given: object) -> T:
    """Returns what work returns, which changes a scene while nobody else does."""
    with console.changing:
        return work(*given)


async def taken_up(console: Console) -> str:
    """Has the watch take up what was changed; returns in words whether it did."""
    try:
        await console.watch.reload()
    except WatchAway:
        return "the watch does not run; it takes this up when it starts"
    except UserError as error:
        return f"the watch could not take it up: {error}"
    return "the watch has taken it up"


def scenes_of(console: Console, name: str) -> list[str]:
    """Returns the names of the scenes that a camera is compared with: those of the cameras file, or the last one."""
    try:
        settings = console.camera_settings()
    except UserError:  # a cameras file that somebody is editing
        settings = None
    if settings is not None and name in settings.cameras:
        named = list(settings.cameras[name].scenes)
    else:
        named = [run.scene for run in Activity.read(console.out / name / ACTIVITY, datetime.now(UTC)).runs]
    return [scene for scene in dict.fromkeys(named) if scene_exists(scene_folder(console.scenes, scene))]


def folder_of(console: Console, name: str, scene: object) -> Path:
    """Returns the folder of a scene of a camera.

    Raises:
        HTTPException: 404, it has no such scene.
    """
    for known in scenes_of(console, name):
        if known == scene:
            return scene_folder(console.scenes, known)
    raise HTTPException(404, "this camera has no such scene")


def shared_by_all(request: Request, console: Console, name: str, scene: object) -> Path:
    """Returns the folder of a scene of a camera, for somebody who may see every camera that is compared with it.

    Raises:
        HTTPException: 404, it has no such scene; 403, another camera has it too, which they may not see.
    """
    folder, seen = folder_of(console, name, scene), set(console.cameras(request))
    if any(folder.name in scenes_of(console, other) for other in console.all_cameras() if other not in seen):
        raise HTTPException(403, "other cameras that you may not see have this scene too; ask somebody who sees them")
    return folder


def rate_of(value: object) -> float:
    """Returns a rate of the dial.

    Raises:
        HTTPException: it is none.
    """
    try:
        rate = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        rate = math.nan
    for known in RATES:
        if math.isclose(rate, known, rel_tol=1e-6):
            return known
    raise HTTPException(400, "rate is the false alarms per hour of a position of the dial")


def moment(request: Request, key: str) -> datetime:
    """Returns a moment of a request's query.

    Raises:
        HTTPException: it is none.
    """
    try:
        return datetime.fromtimestamp(float(request.query_params[key]), UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        raise HTTPException(400, f"{key} is a number of seconds since 1970") from None


def changed(folder: Path) -> int:
    """Returns what tells a scene's record of now from earlier ones."""
    return (folder / RECORD).stat().st_mtime_ns


def applied_values(folder: Path) -> dict[str, object] | None:
    """Returns who applied the thresholds of now, when, and for which rate; None where nobody did."""
    try:
        return last_applied(folder)
    except UserError:
        return None
