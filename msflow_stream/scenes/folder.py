"""Folders of scenes: their names, and the record scene.json in each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msflow_stream.types import UserError

FORMAT = 4  # of scene.json; raised when an older program could not read a newer scene
OWN_AREA = 4  # the format from which on `area` is our own way of resizing; before, it was Pillow's `box`
WEIGHTS, RECORD = "model.safetensors", "scene.json"


def scene_folder(scenes: Path, name: str) -> Path:
    """Returns the folder that a scene of this name is in or goes to.

    Raises:
        UserError: a name that is not that of a plain folder below `scenes`.
    """
    if not name or name.startswith(".") or Path(name).name != name:
        raise UserError(f"{name!r} cannot be a scene's name: it is the name of a folder in {scenes}")
    return scenes / name


def read_record(folder: Path) -> dict[str, Any]:
    """Returns the content of a scene's scene.json, checked for its format, by the names of today.

    Raises:
        UserError: no such scene (the nearest ones are named), or a newer format.
    """
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        version = int(content["format"])
    except FileNotFoundError:
        known = ", ".join(list_scenes(folder.parent)) or "none"
        raise UserError(f"no scene {folder.name!r} in {folder.parent} (there: {known})") from None
    except (ValueError, KeyError, TypeError, OSError):
        raise UserError(f"{folder / RECORD} cannot be read as a scene; fit it again") from None
    if version > FORMAT:
        raise UserError(f"{folder} has scene format {version}, this program reads up to {FORMAT}: update msflow-stream")
    if version < OWN_AREA:
        _name_resizing(content)
    return dict(content)


def _name_resizing(content: dict[str, Any]) -> None:
    given = content.get("settings", {}).get("input")
    if given is not None:
        given["resize"] = {"area": "box"}.get(given.get("resize"), given.get("resize", "lanczos"))


def list_scenes(folder: Path) -> list[str]:
    """Lists the names of the scenes in a folder."""
    return sorted(path.parent.name for path in folder.glob(f"*/{RECORD}") if not path.parent.name.startswith("."))
