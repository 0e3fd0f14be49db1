"""The soft exceptions of a camera: removed by whoever no longer wants them."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msflow_stream.teaching.exceptions import Exceptions
from msflow_stream.types import UserError
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.normal_here import exceptions_of_camera, told
from msflow_stream.web.console.routing import call


@call("/cameras/{name}/exceptions")
def exceptions(request: Request, console: Console) -> Response:
    """Answers with the exceptions that count at a camera, the newest first."""
    name = console.check_camera(request, request.path_params["name"])
    found = exceptions_of_camera(console, name, scenes_of(console, name))
    return JSONResponse({"exceptions": [told(console, *one) for one in reversed(found)]})


@call("/cameras/{name}/exceptions/{id}", needs=Role.OPERATOR, methods=("DELETE",))
def remove(request: Request, console: Console) -> Response:
    """Removes one; its event stays as it was labelled."""
    name = console.check_camera(request, request.path_params["name"])
    for scene, one in exceptions_of_camera(console, name, scenes_of(console, name)):
        if one.id == request.path_params["id"]:
            Exceptions(scene).remove(one.id)
            target = f"{name}: exception {one.id}"
            console.accounts.audit(console.user(request).name, "teach", target, {"removed": one.id, "event": one.event})
            return JSONResponse({"removed": one.id})
    raise HTTPException(404, "there is no such exception any more")


def scenes_of(console: Console, name: str) -> tuple[str, ...]:
    """Returns the scenes of a camera, as the cameras file has them; none where that cannot be read."""
    try:
        settings = console.camera_settings()
    except UserError:
        return ()
    camera = None if settings is None else settings.cameras.get(name)
    return () if camera is None else camera.scenes
