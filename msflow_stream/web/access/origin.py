"""Where a request comes from: the console's own pages, another site, or this machine."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

SAFE = ("GET", "HEAD", "OPTIONS")
PORTS = {"http": 80, "https": 443}
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip", "x-ingress-path", "via")


def foreign_write(connection: HTTPConnection) -> str | None:
    """Returns why what changes something, or a WebSocket, does not come from the console's own pages; None: it does.

    Browsers say where a request comes from by `Sec-Fetch-Site` or `Origin`, and let no page change that.
    """
    site, origin = connection.headers.get("sec-fetch-site"), connection.headers.get("origin")
    if site is not None and site != "same-origin":
        return "this came from another site, and changes nothing"
    if origin is not None and not _is_own(origin, connection):
        return (
            "this came from another address than the console's, and changes nothing; a reverse proxy has to pass the "
            "Host header on"
        )
    if origin is None and (site is None or connection.scope["type"] == "websocket"):
        return "this did not come from the console's pages, and changes nothing; a program sends their Origin header"
    return None


def foreign_read(connection: HTTPConnection) -> str | None:
    """Returns why another site's page may not use what this request asks for; None: it does not, or links to it."""
    site, mode = connection.headers.get("sec-fetch-site"), connection.headers.get("sec-fetch-mode")
    if site in (None, "same-origin", "none") or mode == "navigate":
        return None
    return "this is not for pages of other sites"


def is_followed_link(connection: HTTPConnection) -> bool:
    """Returns whether another site's link was followed; then browsers keep a cookie back that is for this site only."""
    site, mode = connection.headers.get("sec-fetch-site"), connection.headers.get("sec-fetch-mode")
    return site in ("cross-site", "same-site") and mode == "navigate"


def came_by_https(connection: HTTPConnection) -> bool:
    """Returns whether the person's browser uses HTTPS, as the server, a proxy on this machine or the browser says."""
    return connection.scope["scheme"] in ("https", "wss") or connection.headers.get("origin", "").startswith("https://")


def address_of(connection: HTTPConnection) -> str:
    """Returns the address of whoever asks, as the server found it."""
    return connection.client.host if connection.client else ""


def foreign_to_machine(connection: HTTPConnection) -> str | None:
    """Returns why a request does not come from whoever sits at this machine; None: it does.

    A page that lets its own name point to this machine has the browser ask under that name.
    """
    if any(name in connection.headers for name in FORWARDED):
        return _needs_user("through a proxy")
    if not _is_loopback(address_of(connection)):
        return _needs_user("from another machine")
    host = _host(connection)
    if host != "localhost" and not _is_loopback(host):
        return _needs_user("under another name than localhost or 127.0.0.1")
    return None


def _needs_user(how: str) -> str:
    return f"{how} the console needs a user: `msflow-stream console user add NAME --role admin` on its machine adds one"


def _host(connection: HTTPConnection) -> str:
    """Returns the name in the Host header; "" where that could be read in several ways."""
    given = connection.headers.getlist("host")
    found = _read(f"http://{given[0]}") if len(given) == 1 else None
    return "" if found is None else found[1]


def _is_loopback(host: str) -> bool:
    try:
        found = ip_address(host)
    except ValueError:
        return False
    return found.is_loopback or bool(getattr(found, "ipv4_mapped", None) and found.ipv4_mapped.is_loopback)  # type: ignore[union-attr]


def _is_own(origin: str, connection: HTTPConnection) -> bool:
    """Returns whether an origin is that of the console.

    A proxy that speaks HTTPS may not say so; what came by HTTPS does not come from a page that did not.
    """
    found = _read(origin)
    hosts = connection.headers.getlist("host") + connection.headers.getlist("x-forwarded-host")
    secure = connection.scope["scheme"] in ("https", "wss")
    schemes = ("https",) if secure else ("http", "https")
    own = {_read(f"{scheme}://{host.strip()}") for host in hosts for scheme in schemes}
    return found is not None and found in own


def _read(origin: str) -> tuple[str, str, int] | None:
    """Returns scheme, host and port; None where it is no origin."""
    try:
        if not origin.isascii() or set(origin) & set("\\@ \t\r\n"):
            raise ValueError
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not parts.hostname or parts.path or parts.query or parts.fragment:
        return None
    return parts.scheme, parts.hostname.rstrip("."), port or PORTS[parts.scheme]
