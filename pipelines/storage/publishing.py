"""Results at a URL: a folder's objects are written first and its record last, and only with that they count."""

from __future__ import annotations

import shutil
from pathlib import Path

from .objects import Objects


def publish(folder: Path, url: str, record: str) -> None:
    """Makes what is at a URL equal to a folder; `record` is the file that says, there as here, that it is complete.

    What is hidden in the folder stays here.

    Raises:
        UserError: the storage takes it not.
    """
    objects = Objects(url)
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    names = {path.as_posix() for path in files if not any(part.startswith(".") for part in path.parts)}
    objects.remove([record])
    objects.put(folder, sorted(names - {record}))
    objects.remove(one.name for one in objects.listed() if one.name not in names)
    objects.put(folder, [record])


def publish_file(path: Path, url: str) -> None:
    """Writes one object, which is there whole or not at all."""
    Objects(url).put(path, [""])


def is_complete(url: str, record: str) -> bool:
    """Returns whether a folder was published whole."""
    return Objects(url).exists(record)


def read_object(url: str) -> bytes | None:
    """Returns the content of one object; None where there is none."""
    return Objects(url).read("")


def fetch(url: str, folder: Path, record: str) -> bool:
    """Makes a folder what is published at a URL, which takes its name once it is whole; False, and no folder, if none.

    Raises:
        UserError: it cannot be read.
    """
    objects = Objects(url)
    whole = objects.exists(record)
    if whole:
        partial = folder.with_name(f".{folder.name}.fetched")
        shutil.rmtree(partial, ignore_errors=True)
        objects.get([one.name for one in objects.listed()], partial)
    shutil.rmtree(folder, ignore_errors=True)
    if whole:
        partial.replace(folder)
    return whole
