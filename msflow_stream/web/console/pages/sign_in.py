"""Signing in and out."""

from __future__ import annotations

from urllib.parse import parse_qs

from anyio.to_thread import run_sync
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from msflow_stream.web.access.accounts import TooManyAttempts, WrongPassword
from msflow_stream.web.access.cookie import cookie_name, set_cookie, tokens
from msflow_stream.web.access.origin import address_of
from msflow_stream.web.access.roles import LOCAL, User
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.routing import body_of, page

FIELDS = 10  # in a form, at most


@page("/sign-in", needs=None)
def sign_in_form(request: Request, console: Console) -> Response:
    """Shows the form; who is signed in goes on."""
    wanted = local_path(request.query_params.get("next", ""), console.root(request))
    if request.state.user is not None:
        return RedirectResponse(console.root(request) + wanted, 303)
    return console.render(request, "sign_in.html.j2", next=wanted, name="", said=None)


@page("/sign-in", needs=None, methods=("POST",))
async def sign_in(request: Request, console: Console) -> Response:
    """Begins a session and shows what was asked for."""
    try:
        form = parse_qs((await body_of(request)).decode("utf-8", "replace"), max_num_fields=FIELDS)
    except ValueError:
        raise HTTPException(400, "this is not the form") from None
    name, password = (form.get(field, [""])[0] for field in ("name", "password"))
    root = console.root(request)
    wanted = local_path(form.get("next", [""])[0], root)
    values = {"next": wanted, "name": name[:100]}
    asked = (name, password, address_of(request), request.headers.get("user-agent", ""))
    try:
        token = await run_sync(console.accounts.sign_in, *asked, limiter=console.hashing)
    except WrongPassword:
        said = "Nobody has this name and password."
        return console.render(request, "sign_in.html.j2", status=403, said=said, **values)
    except TooManyAttempts as error:
        said = f"There were too many attempts. Try again in {in_words(error.wait)}."
        refusal = console.render(request, "sign_in.html.j2", status=429, said=said, **values)
        refusal.headers["Retry-After"] = str(int(error.wait) + 1)
        return refusal
    await run_in_threadpool(_end_session, request, console)
    answer = RedirectResponse(root + wanted, 303)
    set_cookie(answer, request, cookie_name(console.store.name), token, root)
    return answer


@page("/sign-out", needs=None, methods=("POST",))
def sign_out(request: Request, console: Console) -> Response:
    """Ends the session."""
    user: User | None = request.state.user
    _end_session(request, console)
    if user is not None and user != LOCAL:
        console.accounts.audit(user.name, "signed out", user.name)
    root = console.root(request)
    answer = RedirectResponse(f"{root}/sign-in", 303)
    set_cookie(answer, request, cookie_name(console.store.name), None, root)
    return answer


def _end_session(request: Request, console: Console) -> None:
    """Ends the session that the browser had."""
    for token in tokens(request, cookie_name(console.store.name)):
        console.accounts.sessions.end(token)


def local_path(text: str, root: str) -> str:
    """Returns a path of the console, below its root; / for what leads elsewhere.

    >>> local_path("/cameras/events?label=none", "/cameras")
    '/events?label=none'
    >>> local_path("//evil.example", "")
    '/'
    """
    path = text.removeprefix(root) if text.startswith(f"{root}/") else text
    plain = path.isascii() and path.isprintable() and not set(path) & set("\\ ")
    if not plain or not path.startswith("/") or path.startswith(("//", "/sign-")):
        return "/"
    return path


def in_words(seconds: float) -> str:
    """Returns a time to wait in words."""
    whole = int(seconds) + 1
    if whole < 100:
        return f"{whole} second{'s' if whole > 1 else ''}"
    return f"{round(whole / 60)} minutes"
