"""The learning of a camera's scene: what is seen so far and what is missing, and how far fit and calibration are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msflow_stream.config.cameras import Camera
from msflow_stream.config.cameras_edit import Changed, content_hash, remove_camera, undo_change
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.teaching.layout import learn_folder
from msflow_stream.types import UserError
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.learning_view import learning_values
from msflow_stream.web.console.routing import call, page
from msflow_stream.web.live.status import unknown
from msflow_stream.web.watch_client import WatchAway


@page("/cameras/{name}/learning")
async def learning(request: Request, console: Console) -> Response:
    """Shows the page."""
    values, now = await told(request, console)
    may_remove = console.user(request).role.covers(Role.ADMIN)
    may_draw = console.user(request).role.covers(Role.OPERATOR)
    return console.render(
        request, "learning.html.j2", values=values, camera=now, may_remove=may_remove, may_draw=may_draw
    )


@call("/cameras/{name}/learning.json")
async def learning_now(request: Request, console: Console) -> Response:
    """Returns how far it is."""
    values, _ = await told(request, console)
    return JSONResponse(values)


@call("/cameras/{name}/learning", needs=Role.ADMIN, methods=("DELETE",))
async def go_back(request: Request, console: Console) -> Response:
    """Takes a camera out of the cameras file whose scene is not learnt yet, and its footage with it."""
    name = await run_in_threadpool(console.check_camera, request, request.path_params["name"])
    change, scene = await run_in_threadpool(removed, request, console, name)
    try:
        await console.watch.reload()
    except WatchAway:
        pass
    except UserError as error:
        await run_in_threadpool(put_back, console, change)
        raise UserError(f"the watch goes on with it: {error}") from None
    for folder in (learn_folder(scene), scene.with_name(f".{scene.name}.fit")):
        await run_in_threadpool(shutil.rmtree, folder, True)
    return JSONResponse({})


async def told(request: Request, console: Console) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Returns how far it is, and the camera as the watch reports it."""
    name = await run_in_threadpool(console.check_camera, request, request.path_params["name"])
    status = await console.live.status.soon()
    now = next((one for one in status["cameras"] if one["name"] == name), unknown(name))
    values = await run_in_threadpool(
        lambda: learning_values(configured(console, name), console.scenes, now, status["watch"])
    )
    return values, now


def configured(console: Console, name: str) -> Camera | None:
    """Returns the camera as the cameras file has it; None where it does not, or cannot be read now."""
    try:
        settings = console.camera_settings()
    except UserError:
        return None
    return None if settings is None else settings.cameras.get(name)


def removed(request: Request, console: Console, name: str) -> tuple[Changed, Path]:
    """Takes the camera out of the file, and returns the change and the folder of the scene that there is not.

    Raises:
        UserError: it is not taken out.
        HTTPException: 409, its scene is learnt already.
    """
    with console.changing:
        camera = configured(console, name)
        if camera is None or console.cameras_file is None:
            raise UserError(f"the cameras file does not have {name}")
        scene = scene_folder(console.scenes, camera.scenes[0])
        if camera.learn is None or scene.exists():
            raise HTTPException(409, f"{name} has a scene already: take it out of the cameras file by hand")
        change = remove_camera(console.cameras_file, name, content_hash(console.cameras_file))
    console.accounts.audit(console.user(request).name, "remove camera", name, {})
    return change, scene


def put_back(console: Console, change: Changed) -> None:
    """Brings a camera back that the watch does not let go of."""
    with console.changing:
        assert console.cameras_file is not None
        undo_change(console.cameras_file, change)
