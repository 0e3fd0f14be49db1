"""Passwords: hashed by scrypt with a salt each, and compared in constant time."""

from __future__ import annotations

import hmac
import secrets
import unicodedata
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import scrypt
from threading import BoundedSemaphore

from msflow_stream.types import UserError

LEAST, MOST = 10, 1000  # characters
AT_ONCE = BoundedSemaphore(2)  # each takes 32 MiB, and a core for 100 ms


@dataclass(frozen=True, slots=True)
class Cost:
    """The parameters of scrypt, as its authors and OWASP advise: memory is 128 * n * r bytes."""

    n: int = 2**15
    r: int = 8
    p: int = 3


def hashed(password: str, cost: Cost) -> str:
    """Returns a hash with its salt and parameters."""
    salt = secrets.token_bytes(16)
    digest = _digest(password, salt, cost)
    return f"scrypt${cost.n}${cost.r}${cost.p}${b64encode(salt).decode()}${b64encode(digest).decode()}"


def is_right(password: str, stored: str) -> bool:
    """Returns whether a password is the one that was hashed."""
    _, n, r, p, salt, digest = stored.split("$")
    found = _digest(password, b64decode(salt), Cost(int(n), int(r), int(p)))
    return hmac.compare_digest(found, b64decode(digest))


def checked(password: str, name: str) -> str:
    """Returns a password that somebody may have.

    Raises:
        UserError: it is too short or too long, or the name; the error does not show it.
    """
    if not LEAST <= len(password) <= MOST:
        raise UserError(f"a password needs at least {LEAST} characters, and {MOST} at most")
    if password.casefold() == name.casefold():
        raise UserError("the name is no password")
    if len(set(password)) < 4:
        raise UserError("this password has too few different characters")
    return password


def _digest(password: str, salt: bytes, cost: Cost) -> bytes:
    # Keyboards write the same letter in different ways.
    text = unicodedata.normalize("NFKC", password[: MOST + 1]).encode("utf-8", "surrogatepass")
    with AT_ONCE:
        return scrypt(text, salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=256 * cost.n * cost.r, dklen=32)
