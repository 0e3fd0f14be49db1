"""The text of a cameras file with a camera more, or less; every other character of it stays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from msflow_stream.config.yaml_places import Place, places_of
from msflow_stream.types import UserError

STEP = "  "  # of a line, to those below it
LONG = 1 << 30  # letters of a line that is never broken
NOTHING = ("", "~", "null", "Null", "NULL")


def with_camera(text: str, name: str, values: Mapping[str, Any]) -> str:
    """Returns the text of a cameras file with another camera behind the last one.

    Raises:
        UserError: it is not YAML, or holds its cameras in a way that cannot be added to.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    found = _cameras(text)
    if found is None:
        before = "" if not text or text.endswith("\n") else newline
        return text + before + newline.join(["cameras:", *_lines(name, values, STEP)]) + newline
    key, cameras = found
    if cameras.kind not in ("mapping", "scalar") or cameras.anchor is not None or not _can_grow(cameras):
        raise UserError("the cameras stand in the file in a way that cannot be added to: add this one there by hand")
    if not cameras.values:  # `cameras: {}`, or nothing at all
        colon = text.index(":", key.end) + 1
        indent = " " * (key.start - _line_start(text, key.start)) + STEP
        block = newline + newline.join(_lines(name, values, indent))
        return text[:colon] + block + _rest(text, colon, cameras)
    end = cameras.values[-1].end
    if cameras.flow:
        return f"{text[:end]}, {_flow({name: values})[1:-1]}{text[end:]}"
    first = cameras.keys[0].start
    lines = _lines(name, values, " " * (first - _line_start(text, first)))
    at = end if text[end - 1] == "\n" else _next_line(text, end)
    before = "" if text[at - 1] == "\n" else newline
    return text[:at] + before + "".join(line + newline for line in lines) + text[at:]


def without_camera(text: str, name: str) -> str:
    """Returns the text of a cameras file without one of its cameras.

    Raises:
        UserError: it is not YAML, or has no place for this camera alone.
    """
    found = _cameras(text)
    if found is None or found[1].get(name) is None:
        raise UserError(f"{name} has no place of its own in the cameras file: remove it there by hand")
    key, cameras = found
    number = [one.text for one in cameras.keys].index(name)
    start, end = cameras.keys[number].start, cameras.values[number].end
    if cameras.flow:
        if number:  # with the comma before it
            start = cameras.values[number - 1].end
        elif len(cameras.keys) > 1:
            end = cameras.keys[1].start
        return text[:start] + text[end:]
    start = _line_start(text, start)
    end = end if text[end - 1] == "\n" else _next_line(text, end)
    if len(cameras.keys) > 1:
        return text[:start] + text[end:]
    colon = text.index(":", key.end) + 1
    return text[:colon] + " {}" + text[colon:start] + text[end:]


def _cameras(text: str) -> tuple[Place, Place] | None:
    """Returns the key and the value that holds the cameras; None where there is none yet."""
    try:
        root = places_of(text)
    except StopIteration:  # a file without anything but comments
        return None
    except (yaml.YAMLError, ValueError):
        raise UserError("the cameras file is not YAML") from None
    if root.kind != "mapping" or root.flow:
        raise UserError("the cameras file stands in brackets: change it by hand")
    return root.get("cameras")


def _can_grow(cameras: Place) -> bool:
    return cameras.kind == "mapping" or cameras.text in NOTHING


def _rest(text: str, colon: int, cameras: Place) -> str:
    """Returns what comes behind the colon of `cameras:` without its empty value; a comment there stays."""
    if cameras.start < cameras.end:
        return text[colon : cameras.start].rstrip(" ") + text[cameras.end :]
    return text[colon:]


def _lines(name: str, values: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Yields the lines of a camera."""
    yield f"{indent}{name}:"
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _lines(key, value, indent + STEP)
        elif isinstance(value, Sequence) and not isinstance(value, str) and value:
            yield f"{indent}{STEP}{key}:"
            yield from (f"{indent}{STEP * 2}- {_flow(one)}" for one in value)
        else:
            yield f"{indent}{STEP}{key}: {_flow(value)}"


def _flow(value: object) -> str:
    """Returns a value in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_flow, value))}]"
    style = '"' if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", value) else None
    text: str = yaml.safe_dump(value, default_style=style, width=LONG, allow_unicode=True)
    return re.sub(r"\n(\.\.\.\n)?$", "", text)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _next_line(text: str, at: int) -> int:
    """Returns the place behind the line's break, and behind its comment."""
    return text.find("\n", at) + 1 or len(text)
