"""The cookie that a browser is signed in by."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from http.cookies import SimpleCookie

from starlette.requests import HTTPConnection
from starlette.responses import Response

from msflow_stream.web.access.origin import came_by_https
from msflow_stream.web.access.sessions import LONGEST, TOKEN

MOST_HEADER = 8192  # characters
MOST_TOKENS = 4  # other paths of the same host may have set cookies of this name, too


def cookie_name(store: str) -> str:
    """Returns the cookie's name: consoles of several databases on one host do not sign each other out."""
    return f"msflow_session_{sha256(store.encode()).hexdigest()[:8]}"


def tokens(connection: HTTPConnection, name: str) -> Iterator[str]:
    """Yields what may be tokens in the cookies that came, whatever else came."""
    found = 0
    for header in connection.headers.getlist("cookie"):
        for part in header[:MOST_HEADER].split(";"):
            key, _, value = part.strip().partition("=")
            if key == name and TOKEN.fullmatch(value) and found < MOST_TOKENS:
                found += 1
                yield value


def set_cookie(response: Response, connection: HTTPConnection, name: str, token: str | None, root: str) -> None:
    """Adds the cookie to an answer; None takes it away."""
    cookie: SimpleCookie = SimpleCookie({name: token or ""})
    morsel = cookie[name]
    morsel["path"] = root or "/"
    morsel["max-age"] = int(LONGEST.total_seconds()) if token else 0
    morsel["httponly"] = True
    morsel["samesite"] = "Strict"
    morsel["secure"] = came_by_https(connection)
    response.raw_headers.append((b"set-cookie", morsel.OutputString().encode("latin-1")))
