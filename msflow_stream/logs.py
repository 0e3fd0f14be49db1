"""Texts for logs, messages and files: without credentials, in one line, and once for as long as a trouble lasts."""

from __future__ import annotations

import json
import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from time import time
from typing import Self
from urllib.parse import unquote, urlsplit

MASK = "***"
SHORTEST = 3  # letters of a secret; a shorter one would be found everywhere

URL = re.compile(r"([a-z][a-z0-9+.-]*://)(.+)", re.IGNORECASE | re.DOTALL)
USER_INFO = re.compile(r"^[a-z][a-z0-9+.-]*://([^/?#]*)@", re.IGNORECASE)
HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d*)?")

# A secret's value reaches up to the next "&name=", as people forget to escape what is in their passwords.
SECRET = re.compile(
    r"([?&;][^=&;?]*(?:pass|pwd|pw|token|secret|key|auth|sig|cred|user|login|sess|streamid)[^=&;?]*=)"
    r".*?(?=[&;][^=&;]*=|$)",
    re.IGNORECASE | re.DOTALL,
)


def redact(url: str) -> str:
    """Returns the URL, or a text that ends with one, with its credentials replaced by ***.

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


class Redactor:
    """Replaces secrets in texts by ***: those that it was told of, wherever they stand, as they are or as JSON.

    Secrets of one or two letters are left, as they would be found everywhere. Secrets may be added in one thread while
    another hides them.

    >>> redactor = Redactor()
    >>> redactor.add_addresses(["https://hooks.example/services/T0/abcdef"])
    >>> redactor("POST /services/T0/abcdef: 404")
    'POST ***: 404'
    """

    def __init__(self, secrets: Iterable[str] = (), any_url: bool = False) -> None:
        """Begins with these secrets; `any_url`: credentials are also hidden in a URL that a text ends with."""
        self._any_url = any_url
        self._masked: list[tuple[str, str]] = []  # each secret and what takes its place, the longest first
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Adds secrets, which are hidden as they are."""
        self._add({secret: MASK for secret in secrets if len(secret) >= SHORTEST})

    def add_quoted(self, secrets: Iterable[str]) -> None:
        """Adds secrets of any length that are hidden in double quotes only, since they may be everyday words."""
        self._add({f'"{secret}"': f'"{MASK}"' for secret in secrets})

    def add_credentials(self, urls: Iterable[str]) -> None:
        """Adds the credentials in URLs, which themselves may be seen."""
        self.add(secret for url in urls for secret in _credentials(url))

    def add_addresses(self, secrets: Iterable[str]) -> None:
        """Adds secrets that may be addresses: each part that can stand alone is a secret too."""
        self.add(part for secret in secrets for part in _parts(secret))

    def __call__(self, text: str) -> str:
        """Returns the text without secrets."""
        for secret, mask in self._masked:
            text = text.replace(secret, mask)
        return redact(text) if self._any_url else text

    def _add(self, masked: dict[str, str]) -> None:
        as_json = {json.dumps(secret)[1:-1]: json.dumps(mask)[1:-1] for secret, mask in masked.items()}
        found = dict(self._masked) | masked | as_json
        # The longest first: a password before the user that it begins with.
        self._masked = sorted(found.items(), key=lambda item: len(item[0]), reverse=True)


def _credentials(url: str) -> Iterator[str]:
    """The credentials before a URL's host, as written and as meant: all of them, and the password alone."""
    match = USER_INFO.match(url)
    if match is not None:
        for written in (match[1], match[1].partition(":")[2]):
            yield written
            yield unquote(written)


def _parts(secret: str) -> Iterator[str]:
    """A secret and, where it is an address, what of it can stand alone."""
    yield secret
    if "://" not in secret:
        return
    try:
        parts = urlsplit(secret)
    except ValueError:
        return
    wholes = (parts.username, parts.password, parts.path, parts.query, parts.path.rpartition("/")[2])
    values = (pair.partition("=")[2] for pair in parts.query.split("&"))
    for part in (*wholes, *values):
        if part:
            yield part
            yield unquote(part)


class RedactingFormatter(logging.Formatter):
    """A formatter of log records that formats as another one does, and hides secrets, in tracebacks too."""

    def __init__(self, inner: logging.Formatter, redactor: Redactor) -> None:
        """`redactor` hides the secrets in what `inner` makes of a record."""
        super().__init__()
        self._inner, self._redactor = inner, redactor

    def format(self, record: logging.LogRecord) -> str:
        """Returns the text of a record without secrets."""
        return self._redactor(self._inner.format(record))


class LogLines(logging.Handler):
    """The latest lines of the log, for people who have no terminal. A context manager: from its beginning to its end.

    Args:
        redactor: hides the secrets in them.
        seconds: age beyond which a line is forgotten.
        most: the number of lines that are kept at most.
    """

    def __init__(self, redactor: Redactor, seconds: float = 3600.0, most: int = 2000) -> None:
        super().__init__()
        self.setFormatter(RedactingFormatter(logging.Formatter("%(message)s"), redactor))
        self._seconds = seconds
        self._lines: deque[tuple[float, str, str, str]] = deque(maxlen=most)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        self._lines.append((record.created, record.levelname, record.name, self.format(record)))

    def lines(self) -> list[dict[str, str]]:
        """Returns the lines, the oldest first: time (ISO 8601, in UTC), level, logger and text."""
        since = time() - self._seconds
        return [
            {"time": datetime.fromtimestamp(at, UTC).isoformat(), "level": level, "logger": name, "text": text}
            for at, level, name, text in list(self._lines)
            if at >= since
        ]

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


class Outage:
    """A trouble that is logged once, however often something fails, and once more when it is over."""

    def __init__(self, logger: logging.Logger) -> None:
        """`logger` is where it is logged."""
        self._logger = logger
        self._reason: str | None = None

    @property
    def lasts(self) -> bool:
        """True while the trouble goes on."""
        return self._reason is not None

    def begin(self, message: str, reason: str = "") -> None:
        """Logs a warning, unless the trouble lasts already for this reason."""
        if reason != self._reason:
            self._reason = reason
            self._logger.warning("%s", message)

    def end(self, message: str) -> None:
        """Logs that the trouble is over, if it lasted."""
        if self._reason is not None:
            self._reason = None
            self._logger.info("%s", message)


def one_line(text: str) -> str:
    """Returns the text without line breaks and without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
