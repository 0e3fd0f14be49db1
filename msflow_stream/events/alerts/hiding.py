"""Keeps secrets out of what is logged and written down, whoever wrote the text that they are in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote, urlsplit

from msflow_stream.logs import MASK, redact

SHORTEST = 3  # of what is hidden; a shorter one would be found everywhere

Hide = Callable[[str], str]


def hiding(secrets: Iterable[str]) -> Hide:
    """A function that replaces every secret in a text by ***, and the credentials in addresses.

    >>> hiding(["https://hooks.example/services/T0/abcdef"])("POST /services/T0/abcdef: 404")
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
