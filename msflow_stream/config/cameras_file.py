"""A cameras file is read here: defaults, secrets, and mistakes that name their line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr, ValidationError

from msflow_stream.config.alerts import keys_of, placed
from msflow_stream.config.cameras import (
    FILE_SCHEME,
    LEARNT,
    NAMED,
    Backoff,
    Camera,
    Cameras,
    CameraSettings,
    Shift,
    shown_key,
)
from msflow_stream.config.learning import Learn
from msflow_stream.config.loading import Place, first_mistake, nearest
from msflow_stream.config.teaching import Teaching
from msflow_stream.types import UserError

REFERENCE = re.compile(r"\$\{([^}]*)\}")


def load_cameras(path: Path, environment: Mapping[str, str] = os.environ) -> dict[str, Camera]:
    """Returns the cameras of a file by name, as `load_file` reads it."""
    return dict(load_file(path, environment).cameras)


def load_file(path: Path, environment: Mapping[str, str] = os.environ) -> Cameras:
    """Reads a cameras file, and fills the defaults into every camera.

    `${NAME}` anywhere in a text stands for an environment variable, `${file:PATH}` for the content of a file, such as a
    mounted secret. Paths are relative to the folder of the cameras file.

    Raises:
        UserError: no such file, not YAML, an unknown key (with the nearest valid one), a value out of range, a variable
            or secret that is missing. The line is named, the value is not: it could be a secret.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{path}: this is not YAML") from None
    return load_text(text, path, environment)


def load_text(text: str, path: Path, environment: Mapping[str, str] = os.environ) -> Cameras:
    """Reads the text of a cameras file as `load_file` does, as if it stood at a path.

    Raises:
        UserError: as `load_file`.
    """
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise UserError(f"{path}{f', line {mark.line + 1}' if mark else ''}: this is not YAML") from None
    except RecursionError:
        raise UserError(f"{path}: this is nested too deeply") from None
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}: should hold 'cameras:' with a camera below it")
    lines: dict[Place, int] = {}
    try:
        tree = _plain(root, (), lines, path, environment)
    except RecursionError:
        raise UserError(f"{path}: a part of it contains itself") from None
    _inherit(tree)
    try:
        whole = Cameras.model_validate(tree)
    except ValidationError as error:
        raise UserError(_explain(error, lines, path)) from None
    _distinct(whole.cameras, lines, path)
    folder = path.absolute().parent
    return whole.model_copy(
        update={
            "cameras": {name: _placed(camera, folder) for name, camera in whole.cameras.items()},
            "alerts": {name: placed(alert, folder) for name, alert in whole.alerts.items()},
        }
    )


def json_schema() -> dict[str, Any]:
    """Returns the JSON schema of the file, for editors."""
    return Cameras.model_json_schema()


def _inherit(tree: dict[str, Any]) -> None:
    """Fills the defaults into every camera."""
    defaults, cameras = tree.get("defaults") or {}, tree.get("cameras")
    if not isinstance(defaults, dict) or not isinstance(cameras, dict):
        return  # which validation will say
    for name, camera in cameras.items():
        if isinstance(camera, dict):
            merged = defaults | camera
            waits = [one.get("backoff") for one in (defaults, camera)]
            if isinstance(waits[0], dict) and isinstance(waits[1], dict):
                merged["backoff"] = waits[0] | waits[1]
            cameras[name] = merged


def _distinct(names: Iterable[str], lines: Mapping[Place, int], file: Path) -> None:
    seen: dict[str, str] = {}
    for name in names:  # folders are named after cameras, and some file systems do not tell A from a
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            line = lines.get(("cameras", name), 1)
            raise UserError(f"{file}, line {line}: {name} and {other} differ only in upper and lower case; rename one")


def _placed(camera: Camera, folder: Path) -> Camera:
    """Returns the camera with its url, if that is a file's, as a path that holds wherever the program runs."""
    url = camera.url.get_secret_value()
    if url.lower().startswith(FILE_SCHEME):
        url = url[len(FILE_SCHEME) :]
    elif url.isdecimal() or "://" in url:
        return camera
    return camera.model_copy(update={"url": SecretStr(str(folder / Path(url).expanduser()))})


def _plain(node: yaml.Node, at: Place, lines: dict[Place, int], file: Path, environment: Mapping[str, str]) -> Any:
    """Returns the values of a YAML tree, and notes the line of each."""
    lines[at] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in result:
                raise UserError(f"{file}, line {line}: {shown_key(key)} is there twice")
            result[key] = _plain(value_node, (*at, key), lines, file, environment)
            lines[(*at, key)] = line
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(one, (*at, i), lines, file, environment) for i, one in enumerate(node.value)]
    value = yaml.SafeLoader("").construct_object(node)
    if isinstance(value, (int, float)) and ":" in node.value:
        value = node.value  # 20:00 is a time of day, though to YAML 1.1 it is a number of the Babylonians
    if not isinstance(value, str):
        return value
    try:
        return REFERENCE.sub(lambda match: _referred(match[1], file.parent, environment), value)
    except LookupError as error:
        raise UserError(f"{file}, line {lines[at]}: {error.args[0]}") from None


def _referred(name: str, folder: Path, environment: Mapping[str, str]) -> str:
    if name.startswith("file:"):
        try:
            return (folder / name.removeprefix("file:")).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            raise LookupError(f"the secret file {name.removeprefix('file:')} cannot be read") from None
    if name not in environment:
        raise LookupError(f"the environment has no variable {name}")
    return environment[name]


def _explain(error: ValidationError, lines: dict[Place, int], file: Path) -> str:
    mistake = first_mistake(error)
    at = mistake.place
    if at[:1] == ("alerts",) and len(at) > 2:
        at = (*at[:2], *at[3:])  # its type is no key of the file
    elif at[0:1] == ("cameras",) and at[2:3] == ("scene",) and at[3:4] in ((NAMED,), (LEARNT,)):
        at = (*at[:3], *at[4:])  # nor is the way to say which scene
    named = at
    while at and at not in lines:  # what comes from the defaults, or is missing, is not in the file at that place
        at = ("defaults", *at[2:]) if len(at) > 2 and ("defaults", *at[2:]) in lines else at[:-1]
    name = ".".join(shown_key(str(part)) for part in named if part != "[key]")
    if mistake.unknown:
        key = str(mistake.place[-1])
        message = f"{name} is unknown: did you mean {nearest(key, _known(mistake.place))!r}?"
    elif mistake.place == ("cameras",) and mistake.found is not None:
        message = "cameras: should hold at least one camera: its name, and below it at least url and scene"
    else:
        message = f"{name or 'the file'}: {mistake.message}"
    return f"{file}, line {lines.get(at, 1)}: {message}"


def _known(at: Place) -> Iterator[str]:
    """Yields the keys that are valid where an unknown one is."""
    if len(at) == 1:
        yield from Cameras.model_fields
    elif at[0] == "teaching":
        yield from Teaching.model_fields
    elif at[0] == "alerts":
        yield from keys_of(str(at[2]))
    elif "schedule" in at:
        yield from Shift.model_fields
    elif "scene" in at[:-1]:
        yield from Learn.model_fields
    elif "backoff" in at[:-1]:
        yield from Backoff.model_fields
    else:
        yield from (CameraSettings if at[0] == "defaults" else Camera).model_fields
