"""Settings from YAML files and `section.key=value` overrides; a mistake is an error of one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from msflow_stream.config.settings import Section, Settings
from msflow_stream.types import UserError

Place = tuple[str | int, ...]  # keys and positions from the root of a file to a value


def load(path: Path | None = None, overrides: Sequence[str] = (), base: Settings | None = None) -> Settings:
    """Returns settings from a YAML file and `section.key=value` overrides, the later winning.

    Args:
        path: a YAML file, or None.
        overrides: such as `input.size=[256,384]`; the value is read as YAML.
        base: what both change, the defaults if None.

    Raises:
        UserError: no such file, unknown keys (with the nearest valid name), values out of range.
    """
    tree: dict[str, Any] = base.model_dump(exclude_unset=True) if base is not None else {}
    if path is not None:
        _merge(tree, _read(path))
    for override in overrides:
        _merge(tree, _parse(override))
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise UserError(_explain(error)) from None


def override(settings: Settings, overrides: Sequence[str]) -> Settings:
    """Returns the settings with `section.key=value` overrides, as `load` takes them.

    Raises:
        UserError: as `load`.
    """
    return load(None, overrides, settings)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the settings file {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date or number that cannot be
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict | None):
        raise UserError(f"{path} should hold sections such as 'model:' and 'fit:', not a {type(tree).__name__}")
    return tree or {}


def _parse(override: str) -> dict[str, Any]:
    name, separator, text = override.partition("=")
    if not separator or "." not in name:
        raise UserError(f"--set takes section.key=value, such as fit.passes=8, not {override!r}")
    try:
        value: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        value = text
    for part in reversed(name.strip().split(".")):
        value = {part: value}
    return dict(value)


def _merge(tree: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict | None) and isinstance(tree.get(key), dict):
            _merge(tree[key], value or {})  # an empty section changes nothing
        else:
            tree[key] = value


def _names(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    for key, field in model.model_fields.items():
        yield prefix + key
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _names(field.annotation, f"{prefix}{key}.")


def _explain(error: ValidationError) -> str:
    mistake = first_mistake(error)
    name = ".".join(str(part) for part in mistake.place)
    if mistake.unknown:
        return f"unknown setting {name!r}: did you mean {nearest(name, _names())!r}?"
    found = "" if mistake.found is None else f" (found {mistake.found})"
    return f"setting {name}: {mistake.message}{found}"


def load_for_scoring(fitted: Settings, path: Path | None = None, overrides: Sequence[str] = ()) -> Settings:
    """Returns the settings of a fitted scene with changes of `score`, `event` and `engine`; the fit fixed the rest.

    Raises:
        UserError: as `load`, or a change of another section.
    """
    changed = load(path, overrides, fitted)
    for section in ("input", "model", "fit", "scene"):
        if getattr(changed, section) != getattr(fitted, section):
            raise UserError(
                f"{section} settings were fixed when the scene was fitted: "
                "only score, event and engine settings can change now"
            )
    return changed


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Lists differences of two dumps of settings as `section.key was 1, is 2`, of sections that `first` has."""
    return [
        f"{section}.{key} was {first[section].get(key)!r}, is {value!r}"
        for section, values in second.items()
        if section in first  # a program that did not know it wrote the first
        for key, value in values.items()
        if first[section].get(key) != value
    ]


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
