"""Addresses of cameras without the credentials in them: for messages, and for names."""

from __future__ import annotations

import re

MASK = "***"
URL = re.compile(r"([a-z][a-z0-9+.-]*://)(.+)", re.IGNORECASE | re.DOTALL)
HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d*)?")
# A secret's value reaches up to the next "&name=", as people forget to escape what is in their passwords.
SECRET = re.compile(
    r"([?&;][^=&;?]*(?:pass|pwd|pw|token|secret|key|auth|sig|cred|user|login|sess|streamid)[^=&;?]*=)"
    r".*?(?=[&;][^=&;]*=|$)",
    re.IGNORECASE | re.DOTALL,
)
# What tells the cameras of one recorder apart where they share a path, and is harmless to show.
CHANNEL = re.compile(r"[?&](?:ch|channel|cam|camera|stream|subtype|id)=[A-Za-z0-9_.-]+", re.IGNORECASE)
DEFAULT_PORTS = {"rtsp": ":554", "rtsps": ":322", "http": ":80", "https": ":443", "rtmp": ":1935"}


def redact(url: str) -> str:
    """Returns the URL, or a text that ends with one, with credentials replaced by ***.

    Where it is not clear what the credentials are (an unescaped / or @ in a password), rather too much is hidden.

    >>> redact("rtsp://admin:secret@camera.example/stream1?token=abc&channel=2")
    'rtsp://***@camera.example/stream1?token=***&channel=2'
    """
    return URL.sub(lambda match: match[1] + _without_secrets(match[2]), url)


def _without_secrets(rest: str) -> str:
    """Masks what follows `scheme://`."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    before, at, behind = rest.rpartition("@")
    if at and (":" in before or "@" in authority):
        rest = f"{MASK}@{behind}"
    elif not HOST_AND_PORT.fullmatch(authority):
        rest = authority.partition(":")[0] + f":{MASK}" + rest[len(authority) :]
    return SECRET.sub(rf"\1{MASK}", rest)


def live_name(url_or_index: str) -> str:
    """Returns a name safe for a folder: host, port where it is not the usual one, path and channel; or webcam0.

    >>> live_name("rtsp://admin:secret@camera.example/stream1")
    'camera.example-stream1'
    """
    if url_or_index.isdecimal():
        return f"webcam{int(url_or_index)}"
    scheme, _, rest = redact(url_or_index).partition("://")
    place, _, query = rest.removeprefix(f"{MASK}@").partition("?")
    authority, slash, path = place.partition("/")
    place = authority.removesuffix(DEFAULT_PORTS.get(scheme.lower(), "/")) + slash + path
    channel = "-".join(match[1:] for match in CHANNEL.findall(f"?{query}"))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{place}-{channel}").strip("-.") or "camera"
