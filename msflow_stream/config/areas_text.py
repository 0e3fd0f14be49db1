"""The text of a cameras file with other areas of a camera; every other character of it stays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import yaml

from msflow_stream.config.yaml_places import Place, places_of
from msflow_stream.types import UserError

DIGITS = 4  # of a share: a fifth of a pixel of 1920
ITEM = re.compile(r"[ ]*-[ ]+")  # what a line of a list begins with

Polygons = tuple[tuple[tuple[float, float], ...], ...]
Edit = tuple[int, int, str]  # from, to, and what comes there


def rounded(polygons: Sequence[Sequence[Sequence[float]]]) -> Polygons:
    """Returns polygons with the digits that are written."""
    return tuple(tuple((round(float(x), DIGITS), round(float(y), DIGITS)) for x, y in one) for one in polygons)


def edited(text: str, camera: str, areas: Mapping[str, Polygons]) -> str:
    """Returns the text of a cameras file with other areas of a camera.

    Raises:
        UserError: it refers to them in a way that cannot be changed.
    """
    try:
        root = places_of(text)
    except yaml.YAMLError:
        raise UserError("the cameras file is not YAML") from None
    own = root
    for name in ("cameras", camera):
        found = own.get(name)
        if found is None or found[1].kind != "mapping":
            raise UserError(f"{camera} has no place of its own in the cameras file: change it there by hand")
        own = found[1]
    newline = "\r\n" if "\r\n" in text else "\n"
    edits, added = list[Edit](), dict[str, Polygons]()
    for key, polygons in areas.items():
        found = own.get(key)
        if found is None:
            added[key] = polygons
        elif alias := _first_alias(root, found[1]):  # others keep what this camera had
            edits += _replaced(text, found[1], polygons)
            edits.append((alias.start, alias.end, f"&{alias.anchor} {_again(found[1])}"))
        else:
            edits += _changed(text, *found, polygons, newline)
    if added:
        edits.append(_added(text, own, added, newline))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _first_alias(root: Place, value: Place) -> Place | None:
    """Returns what first refers to a value, None where nothing does."""
    if value.anchor is None or value.kind == "alias":
        return None
    behind = [one for one in root.all() if one.start >= value.end and one.anchor == value.anchor]
    return behind[0] if behind and behind[0].kind == "alias" else None


def _replaced(text: str, value: Place, polygons: Polygons) -> list[Edit]:
    blank = "" if text[value.start - 1 : value.start].isspace() else " "
    return [(value.start, value.end, blank + _flow(polygons))]


def _changed(text: str, key: Place, value: Place, polygons: Polygons, newline: str) -> list[Edit]:
    """Returns what makes a list of areas another one; in a list of lines each keeps its comments."""
    lines = [text[_line_start(text, item.start) : item.start] for item in value.values]
    plain = all(ITEM.fullmatch(line) and item.kind == "list" for line, item in zip(lines, value.values, strict=True))
    if value.kind != "list" or value.flow or not plain:
        return _replaced(text, value, polygons)
    edits = list[Edit]()
    before = [_polygon(item) for item in value.values]
    for _, first, last, start, end in SequenceMatcher(None, before, polygons, False).get_opcodes():
        if before[first:last] == list(polygons[start:end]):
            continue
        both = min(last - first, end - start)
        pairs = zip(value.values[first:last], polygons[start:end], strict=False)
        edits += [(item.start, item.end, _flow(new)) for item, new in pairs]
        gone = value.values[first + both : last]
        edits += [(_line_start(text, item.start), _next_line(text, item.end), "") for item in gone]
        more = "".join(f"{lines[0]}{_flow(new)}{newline}" for new in polygons[start + both : end])
        if more:
            edits.append(_inserted(text, value.values[first + both - 1].end if first + both else None, value, more))
    if not polygons:
        colon = text.index(":", key.end) + 1
        edits.append((colon, colon, " []"))
    return edits


def _inserted(text: str, behind: int | None, value: Place, lines: str) -> Edit:
    """Returns what adds lines behind a place, or before all of a list."""
    at = _line_start(text, value.values[0].start) if behind is None else _next_line(text, behind)
    if at and text[at - 1] != "\n":  # the end of a file without a break
        return at, at, "\n" + lines
    return at, at, lines


def _added(text: str, own: Place, areas: Mapping[str, Polygons], newline: str) -> Edit:
    """Returns what adds keys to a camera, behind its last one."""
    end = own.values[-1].end
    if own.flow:
        return end, end, "".join(f", {key}: {_flow(polygons)}" for key, polygons in areas.items())
    first = own.keys[0].start
    indent = " " * (first - _line_start(text, first))
    lines = list[str]()
    for key, polygons in areas.items():
        lines.append(f"{indent}{key}:" + ("" if polygons else " []"))
        lines += [f"{indent}  - {_flow(polygon)}" for polygon in polygons]
    at = end if text[end - 1] == "\n" else _next_line(text, end)  # a text in lines ends with its last one
    before = "" if text[at - 1] == "\n" else newline
    return at, at, before + "".join(line + newline for line in lines)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _next_line(text: str, at: int) -> int:
    """Returns the place behind the line's break, and behind its comment."""
    return text.find("\n", at) + 1 or len(text)


def _polygon(item: Place) -> tuple[tuple[float, ...], ...]:
    """Returns a polygon as it stands in a list; none of ours where it is none."""
    try:
        return tuple(tuple(round(float(value.text), DIGITS) for value in point.values) for point in item.values)
    except ValueError:
        return ()


def _flow(value: object) -> str:
    """Returns lists of lists of numbers in brackets."""
    return f"[{', '.join(map(_flow, value))}]" if isinstance(value, Sequence) else repr(value)


def _again(place: Place) -> str:
    """Returns a value once more, as it is written."""
    if place.kind == "list":
        return f"[{', '.join(map(_again, place.values))}]"
    return f"*{place.anchor}" if place.kind == "alias" else place.text
