"""A cameras file is changed for one camera: every other character of it stays as a person wrote it."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from msflow_stream.config.areas_text import Polygons, edited, rounded
from msflow_stream.config.camera_text import with_camera, without_camera
from msflow_stream.config.cameras import Camera, Cameras
from msflow_stream.config.cameras_file import load_text
from msflow_stream.config.yaml_places import places_of
from msflow_stream.logs import redact
from msflow_stream.names import is_portable, portable_name
from msflow_stream.types import UserError

AREA_KEYS = ("watch", "ignore", "privacy")
FOR_THE_OWNER = 0o600  # mode of a file with credentials


class Changed(NamedTuple):
    """A change of a cameras file, by the hashes of its content before and after it."""

    before: str
    after: str


def content_hash(path: Path) -> str:
    """Returns what tells the content of a cameras file from any other.

    Raises:
        UserError: it cannot be read.
    """
    return _hash(_read(path))


def own_areas(camera: Camera) -> dict[str, Polygons]:
    """Returns the areas of a camera by their keys, those that it inherits included."""
    return {key: rounded(getattr(camera, key)) for key in AREA_KEYS}


def inherited_areas(path: Path, camera: str) -> frozenset[str]:
    """Returns the keys of areas that a camera's own part of the file does not have.

    Raises:
        UserError: it cannot be read.
    """
    try:
        place = places_of(_text(_read(path), path))
    except yaml.YAMLError:
        raise UserError(f"{path}: this is not YAML") from None
    for name in ("cameras", camera):
        found = place.get(name)
        if found is None:
            return frozenset(AREA_KEYS)
        place = found[1]
    return frozenset(key for key in AREA_KEYS if place.get(key) is None)


def change_areas(
    path: Path,
    camera: str,
    areas: Mapping[str, Sequence[Sequence[Sequence[float]]]],
    known: str,
    environment: Mapping[str, str] = os.environ,
) -> Changed:
    """Writes areas of one camera into its file, in one step; the text before is beside it, as NAME.bak.

    A camera's own areas take the place of those that it inherits; where there are to be none, an empty list says so.

    Args:
        path: the cameras file.
        camera: its name.
        areas: polygons by key, such as `ignore`; what is as it was is not touched.
        known: the hash of the content that the change is about.

    Raises:
        UserError: the file was changed meanwhile, cannot be written, or does not hold the areas in a way that can be
            changed; it is as it was.
    """
    before, text = _as_known(path, known, environment)
    if camera not in before.cameras:
        raise UserError(f"{path.name} has no camera {camera}")
    now = own_areas(before.cameras[camera])
    wanted = {key: rounded(areas[key]) for key in AREA_KEYS if key in areas and rounded(areas[key]) != now[key]}
    if not wanted:
        return Changed(known, known)
    new = edited(text, camera, wanted)
    _check(load_text(new, path, environment), before, camera, wanted)
    return _written(path, known, new)


def add_camera(
    path: Path,
    name: str,
    values: Mapping[str, Any],
    known: str,
    environment: Mapping[str, str] = os.environ,
) -> Changed:
    """Writes another camera into a cameras file, behind the others; the text before is beside it, as NAME.bak.

    The file is for its owner alone from the first camera with credentials on.

    Args:
        path: the cameras file; it may have no camera yet.
        name: the new camera's.
        values: its settings, as YAML has them; areas are polygons of shares.
        known: the hash of the content that the change is about.

    Raises:
        UserError: the file was changed meanwhile, has such a camera, or cannot be written, or the settings are none; it
            is as it was.
    """
    before, text = _as_known(path, known, environment)
    if twin := next((one for one in before.cameras if one.casefold() == name.casefold()), None):
        raise UserError(f"there is a camera {twin} already: choose another name")
    if not is_portable(name):
        raise UserError(f"{name} is no name for a folder on every system: take {portable_name(name)}")
    if any("${" in one for one in _texts(values)):  # which would be read as a variable or a secret of this machine
        raise UserError("a setting cannot hold ${")
    values = {key: _plainly(rounded(value)) if key in AREA_KEYS else value for key, value in values.items()}
    new = with_camera(text, name, values)
    after = load_text(new, path, environment)
    if name not in after.cameras or _without(after, name) != before.model_dump():
        raise UserError("the cameras file cannot be added to: add this camera there by hand")
    private = _has_credentials(after) and not _has_credentials(before)
    return _written(path, known, new, FOR_THE_OWNER if private else None)


def remove_camera(path: Path, name: str, known: str, environment: Mapping[str, str] = os.environ) -> Changed:
    """Takes a camera out of a cameras file; the text before is beside it, as NAME.bak.

    Raises:
        UserError: as `add_camera`, or others refer to what the camera has.
    """
    before, text = _as_known(path, known, environment)
    if name not in before.cameras:
        raise UserError(f"{path.name} has no camera {name}")
    new = without_camera(text, name)
    if load_text(new, path, environment).model_dump() != _without(before, name):
        raise UserError(f"others refer to {name} in the cameras file: remove it there by hand")
    return _written(path, known, new)


def undo_change(path: Path, change: Changed) -> None:
    """Brings back the text from before a change, if nothing else has been changed since.

    Raises:
        UserError: something has.
    """
    target = path.resolve()
    content = _read(backup_of(target))
    if content_hash(path) != change.after or _hash(content) != change.before:
        raise UserError(f"{path.name} was changed meanwhile: this can no longer be undone")
    _put(content, target, target)


def backup_of(path: Path) -> Path:
    """Returns the file that has the text from before the last change."""
    return path.with_name(f"{path.name}.bak")


def _as_known(path: Path, known: str, environment: Mapping[str, str]) -> tuple[Cameras, str]:
    """Returns what a file says, and its text.

    Raises:
        UserError: it is not as it is known, or cannot be read.
    """
    content = _read(path)
    if _hash(content) != known:
        raise UserError(f"{path.name} was changed meanwhile: load the page again")
    text = _text(content, path)
    return load_text(text, path, environment), text


def _written(path: Path, known: str, text: str, mode: int | None = None) -> Changed:
    """Writes the text of a file, and the one before beside it."""
    target, content = path.resolve(), text.encode("utf-8")  # a link to it stays one
    _put(_read(path), target, backup_of(target))
    _put(content, target, target, mode)
    return Changed(known, _hash(content))


def _without(cameras: Cameras, name: str) -> dict[str, Any]:
    said = cameras.model_dump()
    del said["cameras"][name]
    return said


def _has_credentials(cameras: Cameras) -> bool:
    urls = [one.url.get_secret_value() for one in cameras.cameras.values()]
    return any("@" in url or redact(url) != url for url in urls)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for one in value.items() if isinstance(value, Mapping) else value:
            yield from _texts(one)


def _plainly(value: object) -> object:
    """Returns tuples as lists."""
    return [_plainly(one) for one in value] if isinstance(value, tuple) else value


def _check(after: Cameras, before: Cameras, camera: str, wanted: Mapping[str, Polygons]) -> None:
    """Checks that a new text says what is wanted, and nothing else.

    Raises:
        UserError: it does not.
    """
    wish = {**own_areas(before.cameras[camera]), **wanted}
    if own_areas(after.cameras[camera]) != wish or _others(after, camera) != _others(before, camera):
        raise UserError(f"others refer to {camera} in the cameras file, and would change with it: change it by hand")


def _others(cameras: Cameras, camera: str) -> dict[str, Any]:
    """Returns all that a file says but the areas of a camera."""
    said = cameras.model_dump()
    for key in AREA_KEYS:
        del said["cameras"][camera][key]
    return said


def _put(content: bytes, like: Path, path: Path, mode: int | None = None) -> None:
    """Replaces a file in one step, with the owner of another one, and its mode where none is given.

    Raises:
        UserError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        known = like.stat()
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if (known.st_uid, known.st_gid) != (partial.stat().st_uid, partial.stat().st_gid):
            os.chown(partial, known.st_uid, known.st_gid)
        partial.chmod(known.st_mode & 0o7777 if mode is None else mode)
        partial.replace(path)
    except OSError as error:
        raise UserError(_refused(like, error)) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _refused(target: Path, error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return f"{target} is mounted by itself and cannot be replaced: mount its folder instead"
    if error.errno == errno.EPERM:
        return f"{target} belongs to somebody else: run the console as its owner"
    return f"{target} cannot be written: {error.strerror}; the console needs to write in {target.parent}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _text(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8")
    except ValueError:
        raise UserError(f"{path}: this is not YAML") from None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
