"""The first mistake in what a person wrote, and the key that an unknown one was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import ValidationError

Place = tuple[str | int, ...]  # keys and positions from the root of a file to a value


class Mistake(NamedTuple):
    """One thing that is wrong.

    Attributes:
        place: where it is, as pydantic names it.
        message: why the value is refused, of a known key.
        unknown: whether there is no such key.
        found: the value, which may be a secret; None where a rule over several values is broken.
    """

    place: Place
    message: str
    unknown: bool
    found: str | None


def first_mistake(error: ValidationError) -> Mistake:
    """Returns the first mistake that a validation found."""
    first: Any = error.errors(include_url=False)[0]
    found = None if first["type"] == "value_error" else repr(first["input"])
    message = first["msg"].removeprefix("Value error, ")
    return Mistake(tuple(first["loc"]), message, first["type"] == "extra_forbidden", found)


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns the known name that is most like an unknown one."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]
