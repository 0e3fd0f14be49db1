"""People: who may sign in, where they are signed in, and the log of what they did."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msflow_stream.web.access.cookie import cookie_name, tokens
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.routing import call, json_of, page

LINES = 50  # of the log on a page
BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrom": "Chrome", "Safari": "Safari"}
SYSTEMS = {
    **{"Windows": "Windows", "Android": "Android", "iPhone": "iPhone", "iPad": "iPad"},
    **{"Mac OS": "macOS", "CrOS": "ChromeOS", "Linux": "Linux"},
}


@page("/people", needs=Role.ADMIN, menu="People", order=6)
def people(request: Request, console: Console) -> Response:
    """Shows the page."""
    accounts, by = console.accounts, request.query_params.get("by", "").replace("\0", "") or None
    before = _number(request.query_params.get("before", ""))
    lines = accounts.audit_lines(LINES + 1, before, by)
    users = accounts.all()
    mine = {accounts.sessions.id_of(token) for token in tokens(request, cookie_name(console.store.name))}
    return console.render(
        request,
        "people.html.j2",
        users=users,
        sessions=[(one, browser_name(one.browser), one.id in mine) for one in accounts.sessions.all()],
        lines=[(line, ", ".join(in_words(line.details))) for line in lines[:LINES]],
        older=lines[LINES - 1].number if len(lines) > LINES else None,
        by=by,
        before=before,
        persons=accounts.persons(),
        roles=list(Role),
        cameras=console.all_cameras(),
    )


@call("/people/users", needs=Role.ADMIN, methods=("POST",))
async def add(request: Request, console: Console) -> Response:
    """Adds a user: {"name", "password", "role", "cameras"}."""
    values = await json_of(request)
    name, password = _text(values, "name"), _text(values, "password")
    asked = (name, password, _role(values), _cameras(values))
    return JSONResponse(await run_in_threadpool(_add, request, console, *asked), 201)


def _add(
    request: Request, console: Console, name: str, password: str, role: Role, cameras: list[str] | None
) -> dict[str, str]:
    if role is not Role.ADMIN and not console.accounts.any():
        raise HTTPException(422, "the first user has to be an admin, as somebody must be able to add the others")
    return {"name": console.accounts.add(name, password, role, cameras, console.user(request).name)}


@call("/people/users/{name}", needs=Role.ADMIN, methods=("PUT",))
async def change(request: Request, console: Console) -> Response:
    """Changes of a user what is given: {"role", "cameras", "password"}."""
    values = await json_of(request)
    role = _role(values) if "role" in values else None
    cameras = (_cameras(values),) if "cameras" in values else ()
    password = _text(values, "password") if "password" in values else None
    if role is None and not cameras and password is None:
        raise HTTPException(422, "say what is to be changed: the role, the cameras or the password")
    await run_in_threadpool(_change, request, console, role, cameras, password)
    return JSONResponse({})


def _change(
    request: Request, console: Console, role: Role | None, cameras: tuple[list[str] | None, ...], password: str | None
) -> None:
    name, by = request.path_params["name"], console.user(request).name
    if password is not None:
        console.accounts.set_password(name, password, by)
    for one in cameras:
        console.accounts.set_cameras(name, one, by)
    if role is not None:
        console.accounts.set_role(name, role, by)


@call("/people/users/{name}", needs=Role.ADMIN, methods=("DELETE",))
def remove(request: Request, console: Console) -> Response:
    """Removes a user and ends their sessions."""
    console.accounts.remove(request.path_params["name"], console.user(request).name)
    return JSONResponse({})


@call("/people/users/{name}/sessions", needs=Role.ADMIN, methods=("DELETE",))
def sign_out_everywhere(request: Request, console: Console) -> Response:
    """Ends all sessions of a user."""
    ended = console.accounts.sign_out(request.path_params["name"], console.user(request).name)
    return JSONResponse({"ended": ended})


@call("/people/sessions/{id}", needs=Role.ADMIN, methods=("DELETE",))
def end_session(request: Request, console: Console) -> Response:
    """Ends one session."""
    whose = console.accounts.end_session(request.path_params["id"], console.user(request).name)
    if whose is None:
        raise HTTPException(404, "this session has ended already")
    return JSONResponse({"user": whose})


def browser_name(text: str) -> str:
    """Returns what people call a browser that says this of itself.

    >>> browser_name("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
    'Firefox on Linux'
    """
    browser = next((name for sign, name in BROWSERS.items() if sign in text), None)
    system = next((name for sign, name in SYSTEMS.items() if sign in text), None)
    if browser is None:
        return text[:40] or "unknown"
    return browser if system is None else f"{browser} on {system}"


def in_words(details: Mapping[str, Any]) -> Iterator[str]:
    """Yields the details of a line of the log."""
    for name, value in details.items():
        if isinstance(value, list):
            shown = ", ".join(map(str, value[:5])) + (f" and {len(value) - 5} more" if len(value) > 5 else "")
        else:
            shown = {None: "none", True: "yes", False: "no"}.get(value, str(value)) if _plain(value) else str(value)
        yield f"{name.replace('_', ' ')}: {shown or 'none'}"


def _plain(value: object) -> bool:
    return value is None or isinstance(value, bool)


def _text(values: Mapping[str, object], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str):
        raise HTTPException(422, f"give a {name}")
    return value


def _role(values: Mapping[str, object]) -> Role:
    try:
        return Role(str(values.get("role")))
    except ValueError:
        raise HTTPException(422, f"give a role: {', '.join(Role)}") from None


def _cameras(values: Mapping[str, object]) -> list[str] | None:
    cameras = values.get("cameras")
    if cameras is None:
        return None
    if not isinstance(cameras, list) or not all(isinstance(one, str) and 0 < len(one) < 200 for one in cameras):
        raise HTTPException(422, "give the names of cameras, or null for all")
    return cameras[:1000]


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
