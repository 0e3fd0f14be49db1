"""cameras.yaml: which cameras are watched, and how; each mistake is one line that names the line of the file."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from msflow_stream.config import Section
from msflow_stream.types import UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
REFERENCE = re.compile(r"\$\{([^}]*)\}")

Seconds = Annotated[float, Field(gt=0)]
Point = tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]  # x, y: shares of the picture
Polygon = Annotated[tuple[Point, ...], Field(min_length=3)]
Path_ = tuple[str | int, ...]  # of a value in the file


class Shift(Section):
    """From a time of day on, another scene is what is normal."""

    start: time
    scene: str


class CameraSettings(Section):
    """What can be said once for all cameras, under `defaults`, or for one."""

    every: Annotated[int, Field(ge=1)] = 5  # frames are sampled where index % every == 0
    transport: Literal["tcp", "udp"] = "tcp"  # of RTSP
    open_timeout: Seconds = 10
    read_timeout: Seconds = 10
    frozen_after: Seconds | None = 10  # seconds of identical frames; null: not looked for
    blackout_after: Seconds | None = 10  # seconds without texture
    watch: tuple[Polygon, ...] = ()  # areas that count; everything if empty
    ignore: tuple[Polygon, ...] = ()  # areas that do not


class Camera(CameraSettings):
    """One camera.

    Attributes:
        url: RTSP, RTSPS, HTTP, HLS, a file, or a webcam's number; its text never shows in logs.
        scene: name of its scene; or
        schedule: scenes by time of day, each from its start until the next one's, around the clock.
    """

    url: SecretStr
    scene: str | None = None
    schedule: tuple[Shift, ...] = ()

    @field_validator("url", mode="before")
    @classmethod
    def _a_webcam_is_a_number(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _one_scene_at_a_time(self) -> Camera:
        if (self.scene is None) == (not self.schedule):
            raise ValueError("give either scene or schedule")
        starts = [shift.start for shift in self.schedule]
        if starts != sorted(set(starts)):
            raise ValueError("the starts of a schedule must ascend")
        return self

    @property
    def scenes(self) -> tuple[str, ...]:
        """All scenes that it ever needs."""
        return (self.scene,) if self.scene else tuple(dict.fromkeys(shift.scene for shift in self.schedule))

    def scene_at(self, now: time) -> str:
        """The scene at a time of day."""
        if self.scene is not None:
            return self.scene
        begun = [shift for shift in self.schedule if shift.start <= now]
        return (begun or self.schedule)[-1].scene  # before the first start, the last one's goes on over midnight


class Cameras(Section):
    """A whole file: `defaults` that every camera inherits, and the cameras by name."""

    defaults: CameraSettings = CameraSettings()
    cameras: Annotated[dict[str, Camera], Field(min_length=1)]

    @field_validator("cameras")
    @classmethod
    def _names_are_names_of_folders(cls, cameras: dict[str, Camera]) -> dict[str, Camera]:
        for name in cameras:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name for a camera: letters, digits, dots, dashes and underscores")
        return cameras


def load_cameras(path: Path, environment: Mapping[str, str] = os.environ) -> dict[str, Camera]:
    """The cameras of a file by name, with the defaults filled in.

    `${NAME}` anywhere in a text stands for an environment variable, `${file:PATH}` for the content of a file, such as a
    mounted secret.

    Raises:
        UserError: no such file, not YAML, an unknown key (with the nearest valid one), a value out of range, a variable
            or secret that is missing. The line is named, the value is not: it could be a secret.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise UserError(f"{path}{f', line {mark.line + 1}' if mark else ''}: this is not YAML") from None
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}: should hold 'cameras:' with a camera below it")
    lines: dict[Path_, int] = {}
    tree = _plain(root, (), lines, path, environment)
    defaults = tree.get("defaults") or {}
    cameras = tree.get("cameras")
    if isinstance(defaults, dict) and isinstance(cameras, dict):
        tree["cameras"] = {n: defaults | one if isinstance(one, dict) else one for n, one in cameras.items()}
    try:
        return dict(Cameras.model_validate(tree).cameras)
    except ValidationError as error:
        raise UserError(_explain(error, lines, path)) from None


def json_schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors."""
    return Cameras.model_json_schema()


def _plain(node: yaml.Node, at: Path_, lines: dict[Path_, int], file: Path, environment: Mapping[str, str]) -> Any:
    """The values of a YAML tree, noting the line of each."""
    lines[at] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in result:
                raise UserError(f"{file}, line {line}: {key} is there twice")
            result[key] = _plain(value_node, (*at, key), lines, file, environment)
            lines[(*at, key)] = line
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(one, (*at, i), lines, file, environment) for i, one in enumerate(node.value)]
    value = yaml.SafeLoader("").construct_object(node)
    if not isinstance(value, str):
        return value
    try:
        return REFERENCE.sub(lambda match: _referred(match[1], environment), value)
    except LookupError as error:
        raise UserError(f"{file}, line {lines[at]}: {error.args[0]}") from None


def _referred(name: str, environment: Mapping[str, str]) -> str:
    if name.startswith("file:"):
        try:
            return Path(name.removeprefix("file:")).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            raise LookupError(f"the secret file {name.removeprefix('file:')} cannot be read") from None
    if name not in environment:
        raise LookupError(f"the environment has no variable {name}")
    return environment[name]


def _explain(error: ValidationError, lines: dict[Path_, int], file: Path) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    at = tuple(first["loc"])
    while at and at not in lines:  # what comes from the defaults, or is missing, is not in the file at that place
        at = ("defaults", *at[2:]) if len(at) > 2 and ("defaults", *at[2:]) in lines else at[:-1]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(first["loc"][-1]), list(_known(first["loc"])), n=1, cutoff=0.0)
        message = f"{name} is unknown: did you mean {near[0]!r}?"
    else:
        message = f"{name or 'the file'}: {first['msg'].removeprefix('Value error, ')}"
    return f"{file}, line {lines.get(at, 1)}: {message}"


def _known(at: tuple[str | int, ...]) -> Iterator[str]:
    """The keys that are valid where an unknown one is."""
    if len(at) == 1:
        yield from Cameras.model_fields
    elif "schedule" in at:
        yield from Shift.model_fields
    else:
        yield from (CameraSettings if at[0] == "defaults" else Camera).model_fields
