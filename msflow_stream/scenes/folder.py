"""Folders of scenes: their names, and the record scene.json in each."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from msflow_stream.config.settings import Settings
from msflow_stream.names import is_portable, portable_name
from msflow_stream.scenes.exchange import RECORD as RECORD
from msflow_stream.scenes.exchange import complete_exchange, complete_exchanges
from msflow_stream.types import UserError

FORMAT = 4  # of scene.json; raised when an older program could not read a newer scene
LOOKS = 3  # for a scene that is not there, while others change it
OWN_AREA = 4  # the format from which on `area` is our own way of resizing; before, it was Pillow's `box`
WEIGHTS = "model.safetensors"


def scene_folder(scenes: Path, name: str) -> Path:
    """Returns the folder that a scene of this name is in or goes to.

    Raises:
        UserError: a name that is not that of a plain folder below `scenes`; or not one on every system, and no such
            scene is there from before.
    """
    if not name or name.startswith(".") or Path(name).name != name:
        raise UserError(f"{name!r} cannot be a scene's name: it is the name of a folder in {scenes}")
    if not is_portable(name) and not (scenes / name).exists():
        better = portable_name(name)
        raise UserError(f"{name!r} cannot be a scene's name: not every system has such folders; take {better!r}")
    return scenes / name


def read_record(folder: Path) -> dict[str, Any]:
    """Returns the content of a scene's scene.json, checked for its format, by the names of today.

    Raises:
        UserError: no such scene (the nearest ones are named), or a newer format.
    """
    try:
        content = json.loads(_record_text(folder))
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


def _record_text(folder: Path) -> str:
    """Returns the text of scene.json. For an instant there is none while versions change places: that is waited for.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    for _ in range(LOOKS):
        with suppress(FileNotFoundError):
            return (folder / RECORD).read_text(encoding="utf-8")
        complete_exchange(folder)
    return (folder / RECORD).read_text(encoding="utf-8")


def _name_resizing(content: dict[str, Any]) -> None:
    given = content.get("settings", {}).get("input")
    if given is not None:
        given["resize"] = {"area": "box"}.get(given.get("resize"), given.get("resize", "lanczos"))


def list_scenes(folder: Path) -> list[str]:
    """Lists the names of the scenes in a folder."""
    complete_exchanges(folder)
    return sorted(path.parent.name for path in folder.glob(f"*/{RECORD}") if not path.parent.name.startswith("."))


def stored_settings(content: dict[str, Any]) -> Settings:
    """Returns the settings in a scene's record; what it does not know of is as it was when it was fitted.

    Raises:
        ValidationError: they are none.
    """
    stored = dict(content["settings"])
    stored["score"] = {"kind": "paper", "alignment": "corners", **stored.get("score", {})}
    return Settings.model_validate(stored)


def fit_identity(content: dict[str, Any]) -> str:
    """Returns what tells a scene's scores from those of another fit, or of other settings for them.

    The calibration does not matter, nor do thresholds, events and engines: the same frames have the same scores.
    """
    settings = stored_settings(content).model_dump(mode="json")
    settings["score"].pop("threshold")
    scoring = {name: settings[name] for name in ("input", "model", "score")}
    facts = [content.get("weights_sha256"), content.get("joint"), content.get("most_motion"), scoring]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
