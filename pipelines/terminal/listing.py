"""Listings for programs: one JSON document, or tab-separated values below a line of names. People get tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

Form = Literal["table", "json", "tsv"]
Row = Mapping[str, Any]


def print_rows(console: Console, form: Form, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Prints things of one kind: a list of JSON objects, or a line of tab-separated values for each.

    Args:
        console: its file gets nothing else.
        form: json or tsv; tables have words and columns of their own, which is up to the caller.
        columns: names of the values, in snake_case; those of a row that are not named are left out.
        rows: values as they are: numbers, times, paths, lists; None for what is not known.
    """
    found = [{name: plain(row[name]) for name in columns} for row in rows]
    if form == "json":
        _write(console, json.dumps(found, indent=2))
    else:
        _write(console, *("\t".join(map(_cell, cells)) for cells in (columns, *(row.values() for row in found))))


def print_facts(console: Console, form: Form, facts: Row) -> None:
    """Prints what is known of one thing: a JSON object, or a line for each value, with names as in fit.passes."""
    if form == "json":
        _write(console, json.dumps(plain(facts), indent=2))
    else:
        print_rows(console, form, ("name", "value"), list(_named(plain(facts), "")))


def plain(value: Any) -> Any:
    """Returns a value as JSON can have it: times as ISO 8601 in UTC, paths as text, no number for what is none."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _named(facts: Row, prefix: str) -> Iterator[Row]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _named(value, f"{prefix}{name}.")
        else:
            yield {"name": f"{prefix}{name}", "value": value}


def _cell(value: Any) -> str:
    """Returns a value as text that has no tab, no line break and nothing that a terminal obeys; lists are JSON."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return "".join(
        letter if letter.isprintable() and letter != "\\" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _write(console: Console, *lines: str) -> None:
    console.file.write("\n".join(lines) + "\n")
    console.file.flush()  # here, where it is an error if nobody reads it any more
