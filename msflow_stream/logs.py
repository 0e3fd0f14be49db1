"""Addresses of cameras without the credentials in them: for messages, and for names."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote, urlsplit

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


class Outage:
    """Says once that something does not work, however often it fails, and once that it works again."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._reason: str | None = None

    @property
    def lasts(self) -> bool:
        return self._reason is not None

    def begin(self, message: str, reason: str = "") -> None:
        """Warns, unless the trouble lasts already for this reason."""
        if reason != self._reason:
            self._reason = reason
            self._logger.warning("%s", message)

    def end(self, message: str) -> None:
        """Says that it is over, if it lasted."""
        if self._reason is not None:
            self._reason = None
            self._logger.info("%s", message)


USER_INFO = re.compile(r"^[a-z][a-z0-9+.-]*://([^/?#]*)@", re.IGNORECASE)


class RedactingFormatter(logging.Formatter):
    """Formats as another formatter does, and masks what is known to be secret, tracebacks included."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner
        self._secrets: list[str] = []

    def hide(self, urls: Iterable[str], others: Iterable[str] = ()) -> None:
        """From now on the credentials in these URLs, and the others as they are, are masked wherever they turn up."""
        plain = {secret for url in urls for secret in secrets_in(url)} | {one for one in others if len(one) > 2}
        found = plain | {json.dumps(secret)[1:-1] for secret in plain}
        self._secrets = sorted(found, key=len, reverse=True)  # a password before the user that it begins with

    def format(self, record: logging.LogRecord) -> str:
        text = self._inner.format(record)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def secrets_in(url: str) -> set[str]:
    """The credentials in a URL: as written and as meant, the password alone and with its user."""
    match = USER_INFO.match(url)
    if match is None:
        return set()
    written = match[1]
    password = written.partition(":")[2]
    return {secret for secret in (written, password, unquote(written), unquote(password)) if len(secret) > 2}


def one_line(text: str) -> str:
    """The text without line breaks and without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


SHORTEST = 3  # of what is hidden; a shorter one would be found everywhere


Redact = Callable[[str], str]


def redactor(secrets: Iterable[str]) -> Redact:
    """A function that replaces every secret in a text by ***, and the credentials in addresses.

    >>> redactor(["https://hooks.example/services/T0/abcdef"])("POST /services/T0/abcdef: 404")
    'POST ***: 404'
    """
    pieces = {piece for secret in secrets for piece in _pieces(secret) if len(piece) >= SHORTEST}
    longest_first = sorted(pieces, key=len, reverse=True)

    def hide(text: str) -> str:
        for piece in longest_first:
            text = text.replace(piece, MASK)
        return redact(text)

    return hide


def _pieces(secret: str) -> Iterator[str]:
    """A secret, and what of it can stand alone where it is an address."""
    yield secret
    if "://" not in secret:
        return
    try:
        parts = urlsplit(secret)
    except ValueError:
        return
    wholes = (parts.username, parts.password, parts.path, parts.query, parts.path.rpartition("/")[2])
    values = (pair.partition("=")[2] for pair in parts.query.split("&"))
    for piece in (*wholes, *values):
        if piece:
            yield piece
            yield unquote(piece)
