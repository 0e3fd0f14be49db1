"""Objects below a URL, through fsspec: listed with their versions, read, written and removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from msflow_stream.logs import one_line, redact
from msflow_stream.types import UserError

VERSION_KEYS = ("ETag", "etag", "md5Hash", "VersionId", "LastModified", "last_modified", "updated", "mtime", "created")
MISSING = "object storage needs fsspec: pip install 'msflow-stream[cluster]'"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object: its path below the URL that was listed ("" for that URL itself), its size, and what tells versions."""

    name: str
    size: int
    version: str


class Objects:
    """The objects at and below a URL. Credentials are those of the environment, as fsspec finds them."""

    def __init__(self, url: str) -> None:
        """Finds the file system of the URL's scheme.

        Raises:
            UserError: fsspec, or what it needs for this scheme, is not installed.
        """
        self.url = url
        try:
            from fsspec.core import url_to_fs

            self._fs, path = url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise UserError(
                MISSING if (error.name or "").startswith("fsspec") else f"{redact(url)}: {one_line(str(error))}"
            ) from None
        except ValueError as error:  # no such scheme
            raise UserError(f"{redact(url)}: {one_line(str(error))}") from None
        self._path = str(path).rstrip("/")

    def listed(self) -> list[Stored]:
        """Returns every object by name; none where there is nothing.

        Raises:
            UserError: the storage cannot be asked, or a name would leave the folder.
        """
        with self._asked("read"):
            found: Mapping[str, Mapping[str, Any]] = self._fs.find(self._path, detail=True)
            if self._path in found:  # an object itself, of which some file systems say no more here
                found = {self._path: self._fs.info(self._path)}
        objects = [
            Stored(self._name(path), int(info.get("size") or 0), _version(info))
            for path, info in found.items()
            if not path.endswith("/")
        ]
        return sorted(objects, key=lambda one: one.name)

    def exists(self, name: str) -> bool:
        """Returns whether there is an object of this name."""
        with self._asked("read"):
            return bool(self._fs.isfile(self._at(name)))

    def read(self, name: str) -> bytes | None:
        """Returns the content of an object; None where there is none."""
        with self._asked("read"):
            try:
                return bytes(self._fs.cat_file(self._at(name)))
            except FileNotFoundError:
                return None

    def get(self, names: Iterable[str], folder: Path) -> None:
        """Copies objects to their names below a folder; the name "" to the folder's own path."""
        wanted = list(names)
        paths = [folder / name if name else folder for name in wanted]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._asked("read"):
            self._fs.get([self._at(name) for name in wanted], [str(path) for path in paths])

    def put(self, folder: Path, names: Iterable[str]) -> None:
        """Copies files below a folder to their names here; the name "" is the folder's own path."""
        wanted = list(names)
        with self._asked("write"):
            if wanted:
                paths = [str(folder / name) if name else str(folder) for name in wanted]
                self._fs.put(paths, [self._at(name) for name in wanted])

    def remove(self, names: Iterable[str]) -> None:
        """Removes objects; those that are not there are left out."""
        with self._asked("write"):
            for name in names:
                try:
                    self._fs.rm_file(self._at(name))
                except FileNotFoundError:
                    continue

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}" if name else self._path

    def _name(self, path: str) -> str:
        name = path.removeprefix(self._path).lstrip("/")
        if ".." in PurePosixPath(name).parts:
            raise UserError(f"{redact(self.url)} holds an object whose name leaves the folder: {name!r}")
        return name

    @contextmanager
    def _asked(self, verb: str) -> Iterator[None]:
        """Has one line said, with the URL, for what a storage fails with: each has errors of its own."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            reason = one_line(redact(str(error))) or type(error).__name__
            raise UserError(f"cannot {verb} {redact(self.url)}: {reason}") from None


def _version(info: Mapping[str, Any]) -> str:
    return "|".join(f"{key}={info[key]}" for key in VERSION_KEYS if info.get(key) is not None)
