"""A new camera: its address is tried, its areas are drawn, and its scene begins to be learnt."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import cv2
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msflow_stream.config.cameras import NAME, Camera
from msflow_stream.config.cameras_edit import AREA_KEYS, Changed, add_camera, content_hash, undo_change
from msflow_stream.config.fields import duration_seconds, duration_text
from msflow_stream.events.evidence.event_folder import EVIDENCE_FOLDER
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.teaching.layout import FOOTAGE, learn_folder
from msflow_stream.teaching.learning import note_who_asks
from msflow_stream.types import Image, UserError
from msflow_stream.video.drawing.jpeg import to_jpeg
from msflow_stream.watch.replay.areas import Areas, check_areas
from msflow_stream.watch.trial import Obstacle, checked, try_camera
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.pages.areas import MOST_AREAS, polygons_of
from msflow_stream.web.console.routing import call, json_of, page
from msflow_stream.web.console.tries import TooManyTries
from msflow_stream.web.watch_client import WatchAway

WIDEST = 1280  # pixels of the first frame
LONGEST = 256  # letters of a user or a password
LEAST_LEARN, MOST_LEARN = 5.0, 14 * 86400.0  # seconds
RATES = {0.006: "one a week", 0.04: "one a day", 0.1: "two or three a day", 0.5: "a dozen a day"}  # per hour
DEFAULT_RATE, DEFAULT_LEARN = 0.1, "30m"
MOST_SETTINGS = 20
SETTING = (  # which names no file
    r"(?!model\.weights=(?!random$|pretrained$))"
    r"(event|fit|input|model|motion|score)\.[a-z_.]{1,60}=[A-Za-z0-9_., \[\]-]{1,100}"
)
TRANSPORTS: tuple[Literal["tcp", "udp"], ...] = ("tcp", "udp")


@page("/new", needs=Role.ADMIN, menu="Add a camera", order=7)
def new(request: Request, console: Console) -> Response:
    """Shows the page."""
    check_sees_all(request, console)
    trouble = None
    try:
        names = console.all_cameras()
        if console.camera_settings() is None:
            trouble = "The console does not know which cameras file it is to write to: start it with --cameras FILE"
    except UserError as error:
        names, trouble = [], f"The cameras file cannot be read: {error}"
    values = {"names": names, "scenes": scene_names(console), "pattern": NAME, "learn": DEFAULT_LEARN}
    return console.render(request, "new.html.j2", values=values, rates=RATES, rate=DEFAULT_RATE, trouble=trouble)


@call("/new/try", needs=Role.ADMIN, methods=("POST",))
async def trial(request: Request, console: Console) -> Response:
    """Tries an address: {"address", "user", "password", "transport"}; the first frame, or what stands in the way."""
    check_sees_all(request, console)
    values = await json_of(request)
    url, transport = address_of(values), transport_of(values)
    if isinstance(url, Obstacle):
        return JSONResponse({"obstacle": asdict(url)})
    return await run_in_threadpool(tried, request, console, url, transport)


def tried(request: Request, console: Console, url: str, transport: Literal["tcp", "udp"]) -> Response:
    """Returns what a trial gave; the log of what people do has how it went, and not with which address."""
    person = console.user(request).name
    try:
        with console.tries.begin(person):
            found = try_camera(url, transport)
    except TooManyTries as error:
        return JSONResponse({"error": str(error)}, 429)
    outcome = found.kind if isinstance(found, Obstacle) else "frames come"
    console.accounts.audit(person, "try", "an address", {"outcome": outcome})
    if isinstance(found, Obstacle):
        return JSONResponse({"obstacle": asdict(found)})
    height, width = found.image.shape[:2]
    facts = {"width": width, "height": height, "codec": found.codec, "rate": round(found.rate, 2)}
    frame = b64encode(to_jpeg(narrowed(found.image))).decode()
    return JSONResponse({"frame": frame, "seconds": round(found.seconds, 1), **facts})


@call("/new", needs=Role.ADMIN, methods=("POST",))
async def add(request: Request, console: Console) -> Response:
    """Adds a camera that learns: {"name", "learn", "false_alarms_per_hour", "areas"} and what is tried."""
    check_sees_all(request, console)
    values = await json_of(request)
    url = address_of(values)
    if isinstance(url, Obstacle):
        raise HTTPException(422, f"{url.text} {url.advice}")
    settings = {
        "url": url,
        "transport": transport_of(values),
        "scene": learn_of(values),
        **areas_of(values, console.scenes),
    }
    name = str(values.get("name", "")).strip()
    change = await run_in_threadpool(added, request, console, name, settings)
    try:
        await console.watch.reload()
    except WatchAway:
        said = "the watch takes it up when it starts"
    except UserError as error:
        if change is not None:
            await run_in_threadpool(taken_back, console, change)
        raise UserError(f"the watch does not take it up: {error}") from None
    else:
        said = "the watch has taken it up"
    return JSONResponse({"name": name, "watch": said}, 201)


def added(request: Request, console: Console, name: str, settings: Mapping[str, Any]) -> Changed | None:
    """Writes a camera into the cameras file; None where it is there already, as after an answer that got lost.

    Raises:
        UserError: it is not written.
    """
    with console.changing:
        file = known_file(console)
        before = console.camera_settings()
        twin = None if before is None else before.cameras.get(name)
        if twin is not None and is_same(twin, settings):
            return None
        check_name(console, name)
        change = add_camera(file, name, settings, content_hash(file))
        with suppress(OSError, UserError):  # whoever reads it can do without
            note_who_asks(scene_folder(console.scenes, name), console.user(request).name)
    learn = settings["scene"]
    details = {"learns for": learn["learn"], "false alarms per hour": learn["false_alarms_per_hour"]}
    console.accounts.audit(console.user(request).name, "add camera", name, details)
    return change


def taken_back(console: Console, change: Changed) -> None:
    """Takes a camera out again that the watch does not take."""
    with console.changing:
        undo_change(known_file(console), change)


def check_sees_all(request: Request, console: Console) -> None:
    """Checks that a person may see all cameras.

    Raises:
        HTTPException: 403, they may see some: not the new one.
    """
    if console.user(request).cameras is not None:
        raise HTTPException(403, "a camera is added by who may see all cameras; you may see some")


def check_name(console: Console, name: str) -> None:
    """Checks the name of a new camera, which its scene will have too.

    Raises:
        UserError: it is none, or is taken.
    """
    if not re.fullmatch(NAME, name):
        raise UserError("give the camera a name of letters, digits, dots, dashes and underscores, up to 100")
    taken = [one for one in console.all_cameras() if one.casefold() == name.casefold()]
    if taken or (console.out / name / EVIDENCE_FOLDER).exists():
        raise UserError(f"there is a camera {(taken or [name])[0]} already, or what it recorded: choose another name")
    scene = scene_folder(console.scenes, name)
    if scene.exists() or (learn_folder(scene) / FOOTAGE).exists():
        raise UserError(f"there is a scene {name} already, or footage for one: choose another name")


def scene_names(console: Console) -> list[str]:
    """Returns the names of the scenes that there are."""
    if not console.scenes.is_dir():
        return []
    return sorted(one.name for one in console.scenes.iterdir() if one.is_dir() and not one.name.startswith("."))


def known_file(console: Console) -> Path:
    """Returns the cameras file.

    Raises:
        UserError: it is not known which it is.
    """
    if console.cameras_file is None:
        raise UserError("the console does not know its cameras file: start it with --cameras FILE")
    return console.cameras_file


def is_same(camera: Camera, settings: Mapping[str, Any]) -> bool:
    """Returns whether a camera of the file is the one that is to be added."""
    return bool(camera.url.get_secret_value() == settings["url"])


def address_of(values: Mapping[str, object]) -> str | Obstacle:
    """Returns the address in a request with its credentials, or what is wrong with it.

    Raises:
        HTTPException: 422, these are no texts.
    """
    parts = [values.get(key, "") for key in ("address", "user", "password")]
    if not all(isinstance(one, str) for one in parts) or any(len(str(one)) > LONGEST for one in parts[1:]):
        raise HTTPException(422, "address, user and password are texts")
    return checked(*map(str, parts))


def transport_of(values: Mapping[str, object]) -> Literal["tcp", "udp"]:
    """Returns the way that RTSP is to send frames.

    Raises:
        HTTPException: 422, there is no such one.
    """
    for known in TRANSPORTS:
        if values.get("transport", "tcp") == known:
            return known
    raise HTTPException(422, f"transport is {' or '.join(TRANSPORTS)}")


def learn_of(values: Mapping[str, object]) -> dict[str, Any]:
    """Returns how the scene is learnt, as the cameras file says it.

    Raises:
        UserError: that is not to be had.
    """
    seconds = span_of(values, "learn")
    if not LEAST_LEARN <= seconds <= MOST_LEARN:
        raise UserError("learn for some minutes, at most for 14 days")
    found: dict[str, Any] = {"learn": duration_text(seconds)}
    if values.get("calibrate"):
        found["calibrate"] = duration_text(span_of(values, "calibrate"))
    rate = values.get("false_alarms_per_hour", DEFAULT_RATE)
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 1e-5 <= rate <= 100:
        raise UserError("false alarms per hour are a number above 0")
    found["false_alarms_per_hour"] = float(rate)
    settings = values.get("settings") or []
    if not isinstance(settings, list) or len(settings) > MOST_SETTINGS:
        raise UserError(f"settings of the fit are a list, of {MOST_SETTINGS} at most")
    for one in settings:
        if not is_setting(one):
            raise UserError(
                f"{str(one)[:LONGEST]!r} cannot be set here: settings of the fit are such as fit.passes=4; what names "
                "a file, such as model.weights, goes into the cameras file by hand"
            )
    return {**found, "settings": settings} if settings else found


def span_of(values: Mapping[str, object], key: str) -> float:
    """Returns the seconds of a length of time, whole ones.

    Raises:
        UserError: it is none.
    """
    try:
        return max(1.0, float(round(duration_seconds(values.get(key)))))
    except ValueError as error:
        raise UserError(f"{key} {error}") from None


def is_setting(text: object) -> bool:
    """Returns whether this is a setting of the fit that a browser may give: it names no file of this machine."""
    return isinstance(text, str) and re.fullmatch(SETTING, text) is not None


def areas_of(values: Mapping[str, object], scenes: Path) -> dict[str, Any]:
    """Returns the areas in a request that are any.

    Raises:
        HTTPException: 422, they are none.
        UserError: they leave nothing to watch.
    """
    given = values.get("areas") or {}
    if not isinstance(given, dict) or not set(given) <= set(AREA_KEYS):
        raise HTTPException(422, f"give areas: lists of polygons for {', '.join(AREA_KEYS)}")
    if sum(len(one) for one in given.values() if isinstance(one, list)) > MOST_AREAS:
        raise HTTPException(422, f"a camera has at most {MOST_AREAS} areas")
    found = {key: polygons_of(given[key]) for key in AREA_KEYS if given.get(key)}
    check_areas(Areas(**found), scenes, ())
    return found


def narrowed(image: Image) -> Image:
    """Returns an image that is no wider than is shown."""
    height, width = image.shape[:2]
    if width <= WIDEST:
        return image
    shrunk: Image = cv2.resize(image, (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return shrunk
