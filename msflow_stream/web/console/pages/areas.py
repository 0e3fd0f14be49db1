"""The areas of a camera: what it watches, ignores and keeps private, drawn on its frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msflow_stream.config.cameras import Camera
from msflow_stream.config.cameras_edit import (
    AREA_KEYS,
    Changed,
    change_areas,
    content_hash,
    inherited_areas,
    own_areas,
    undo_change,
)
from msflow_stream.events.evidence.event_files import event_files
from msflow_stream.events.evidence.event_folder import SNAPSHOT
from msflow_stream.events.store import EventFilter, StoredEvent
from msflow_stream.types import UserError
from msflow_stream.watch.replay.areas import Areas, check_areas, replay_areas
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.routing import call, json_of, page
from msflow_stream.web.watch_client import WatchAway

MOST_AREAS, MOST_CORNERS = 100, 200
LAST_ALARMS, MOST_ALARMS = 12, 50
BACKGROUNDS = 8  # frames of events


@page("/cameras/{name}/areas", needs=Role.OPERATOR)
def areas(request: Request, console: Console) -> Response:
    """Shows the page."""
    name = console.check_camera(request, request.path_params["name"])
    try:
        values, trouble = drawn(console, name), None
    except UserError as error:
        values, trouble = None, str(error)
    return console.render(request, "areas.html.j2", camera=name, values=values, trouble=trouble)


@call("/cameras/{name}/areas/alarms", needs=Role.OPERATOR, methods=("POST",))
async def alarms(request: Request, console: Console) -> Response:
    """Says which of the last alarms would have been raised with other areas."""
    name = await run_in_threadpool(console.check_camera, request, request.path_params["name"])
    values = await json_of(request)
    last = values.get("last", LAST_ALARMS)
    if not isinstance(last, int) or not 1 <= last <= MOST_ALARMS:
        raise HTTPException(422, f"last is a number of alarms, up to {MOST_ALARMS}")
    return JSONResponse(await run_in_threadpool(replayed, console, name, asked(values), last))


@call("/cameras/{name}/areas", needs=Role.OPERATOR, methods=("POST",))
async def save(request: Request, console: Console) -> Response:
    """Writes areas into the cameras file, and has the watch read it again."""
    name = await run_in_threadpool(console.check_camera, request, request.path_params["name"])
    values = await json_of(request)
    return await changed(request, console, lambda: saved(request, console, name, asked(values), known_of(values)))


@call("/cameras/{name}/areas/undo", needs=Role.OPERATOR, methods=("POST",))
async def undo(request: Request, console: Console) -> Response:
    """Brings back the cameras file from before a change."""
    name = await run_in_threadpool(console.check_camera, request, request.path_params["name"])
    values = await json_of(request)
    change = Changed(known_of(values, "before"), known_of(values, "after"))
    return await changed(request, console, lambda: undone(request, console, name, change))


async def changed(request: Request, console: Console, work: Any) -> Response:
    """Changes the file, has the watch read it, and returns how both are now."""
    answer: dict[str, Any] = await run_in_threadpool(work)
    try:
        await console.watch.reload()
    except WatchAway:
        answer["watch"] = "the watch takes it up when it starts"
    except UserError as error:
        answer["watch"] = f"the watch goes on as before: {error}"
    else:
        answer["watch"] = "the watch has taken it up"
    return JSONResponse(answer)


def drawn(console: Console, name: str) -> dict[str, Any]:
    """Returns what the page draws.

    Raises:
        UserError: the cameras file does not have the camera, or cannot be read.
    """
    camera = configured(console, name)
    assert console.cameras_file is not None
    events = last_events(console, name, 4 * BACKGROUNDS)
    return {
        "camera": name,
        "areas": own_areas(camera),
        "inherited": sorted(key for key in inherited_areas(console.cameras_file, name) if getattr(camera, key)),
        "hash": content_hash(console.cameras_file),
        "file": console.cameras_file.name,
        "backgrounds": [background(one) for one in events if has_still(console, one)][:BACKGROUNDS],
    }


def replayed(console: Console, name: str, new: Areas, last: int) -> dict[str, Any]:
    """Returns what other areas would have meant for the last alarms.

    Raises:
        UserError: they leave nothing to watch.
    """
    camera = configured(console, name)
    check_areas(new, console.scenes, camera.scenes)
    events = last_events(console, name, last)
    found = replay_areas(console.out / name, events, console.scenes, Areas.of(camera), new)
    with_still = {one.event.id for one in events if has_still(console, one)}
    return {
        "said": found.said,
        "notes": list(found.notes),
        "alarms": [
            {**asdict(one), "when": one.when.isoformat(), "thumb": one.id in with_still} for one in found.alarms
        ],
    }


def saved(request: Request, console: Console, name: str, new: Areas, known: str) -> dict[str, Any]:
    """Writes areas, and returns the change with how they are now.

    Raises:
        UserError: they are not written.
    """
    camera = configured(console, name)
    check_areas(new, console.scenes, camera.scenes)
    assert console.cameras_file is not None
    wanted = {key: getattr(new, key) for key in AREA_KEYS}
    with console.changing:
        change = change_areas(console.cameras_file, name, wanted, known)
    details = {key: len(polygons) for key, polygons in wanted.items()}
    console.accounts.audit(console.user(request).name, "areas", name, details)
    return {**change._asdict(), **drawn(console, name)}


def undone(request: Request, console: Console, name: str, change: Changed) -> dict[str, Any]:
    """Undoes a change, and returns how the areas are now.

    Raises:
        UserError: something else was changed since.
    """
    configured(console, name)
    assert console.cameras_file is not None
    with console.changing:
        undo_change(console.cameras_file, change)
    console.accounts.audit(console.user(request).name, "undo areas", name, {})
    return drawn(console, name)


def configured(console: Console, name: str) -> Camera:
    """Returns a camera as the cameras file has it.

    Raises:
        UserError: it does not.
    """
    settings = console.camera_settings()
    if settings is None or name not in settings.cameras:
        raise UserError(f"the cameras file does not have {name}: areas are drawn for cameras that it has")
    return settings.cameras[name]


def asked(values: Mapping[str, object]) -> Areas:
    """Returns the areas in a request.

    Raises:
        HTTPException: 422, they are none.
    """
    given = values.get("areas")
    if not isinstance(given, dict) or set(given) != set(AREA_KEYS):
        raise HTTPException(422, f"give areas: lists of polygons for {', '.join(AREA_KEYS)}")
    if sum(len(one) for one in given.values() if isinstance(one, list)) > MOST_AREAS:
        raise HTTPException(422, f"a camera has at most {MOST_AREAS} areas")
    return Areas(**{key: polygons_of(given[key]) for key in AREA_KEYS})


def polygons_of(given: object) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Returns polygons that were sent.

    Raises:
        HTTPException: 422, they are none.
    """
    try:
        if not isinstance(given, list):
            raise TypeError
        polygons = tuple(tuple((share(x), share(y)) for x, y in polygon) for polygon in given)
    except (TypeError, ValueError):
        raise HTTPException(422, "an area is a list of corners [x, y], each from 0 to 1") from None
    if any(not 3 <= len(polygon) <= MOST_CORNERS for polygon in polygons):
        raise HTTPException(422, f"an area has 3 to {MOST_CORNERS} corners")
    return polygons


def share(value: object) -> float:
    """Returns a share of the frame.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("no share")
    return float(value)


def known_of(values: Mapping[str, object], key: str = "hash") -> str:
    """Returns the hash of a content in a request.

    Raises:
        HTTPException: 422, there is none.
    """
    value = values.get(key)
    if not isinstance(value, str):
        raise HTTPException(422, f"give the {key} that the page was loaded with")
    return value


def last_events(console: Console, name: str, count: int) -> Sequence[StoredEvent]:
    """Returns the last events of a camera, the newest first."""
    return console.store.page(EventFilter(camera=name), None, count)[0]


def has_still(console: Console, stored: StoredEvent) -> bool:
    """Returns whether there is a snapshot without an overlay."""
    files = event_files(console.out, stored.event)
    return files is not None and SNAPSHOT in files.stills


def background(stored: StoredEvent) -> dict[str, str]:
    """Returns a frame that may be drawn on."""
    return {"id": stored.event.id, "when": stored.happened.isoformat(), "file": SNAPSHOT}
