"""Places for results: a folder, or a URL with a working copy on this machine."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msflow_stream.machine import cache_folder

from .objects import Objects
from .publishing import fetch, is_complete, publish, publish_file, read_object
from .urls import Spec, is_url, joined


class Place(Protocol):
    """A place for results, whose parts are folders with a record that makes them complete, and files.

    It may be sent to other machines: each has its own working copy, or all share the folder.
    """

    @property
    def folder(self) -> Path:
        """The folder on this machine, in which programs work."""

    def at(self, name: str) -> Spec:
        """Returns where a part is for everybody."""

    def is_complete(self, name: str, record: str) -> bool:
        """Returns whether a part is there whole, for everybody."""

    def fetch(self, name: str, record: str) -> bool:
        """Makes the part here what it is for everybody; returns whether it is complete."""

    def fetch_file(self, name: str) -> Path:
        """Returns the path of a file, which is here what it is for everybody, and not there if it is not."""

    def publish(self, name: str, record: str) -> None:
        """Makes a part be for everybody what it is here, as a whole."""

    def publish_file(self, name: str) -> None:
        """Makes a file be for everybody what it is here."""

    def remove(self, name: str) -> None:
        """Removes a part for everybody."""

    def forget(self, name: str = "") -> None:
        """Lets go of this machine's own copy of what was published; of everything if no part is named."""


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """A folder: what is here is there for everybody."""

    folder: Path

    def at(self, name: str) -> Spec:
        """Returns the path of a part."""
        return self.folder / name

    def is_complete(self, name: str, record: str) -> bool:
        """Returns whether a part has its record."""
        return (self.folder / name / record).is_file()

    def fetch(self, name: str, record: str) -> bool:
        """Returns whether a part has its record."""
        return self.is_complete(name, record)

    def fetch_file(self, name: str) -> Path:
        """Returns the path of a file."""
        return self.folder / name

    def publish(self, name: str, record: str) -> None:
        """Does nothing: it is there."""

    def publish_file(self, name: str) -> None:
        """Does nothing: it is there."""

    def remove(self, name: str) -> None:
        """Removes a folder."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def forget(self, name: str = "") -> None:
        """Does nothing: there is no other copy."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A folder of object storage, with a working copy in this machine's cache folder."""

    url: str

    @property
    def folder(self) -> Path:
        """The working copy, which a program that is started again goes on with."""
        return cache_folder() / "work" / hashlib.sha256(self.url.encode()).hexdigest()[:24]

    def at(self, name: str) -> Spec:
        """Returns the URL of a part."""
        return joined(self.url, name)

    def is_complete(self, name: str, record: str) -> bool:
        """Returns whether a part was published whole."""
        return is_complete(str(self.at(name)), record)

    def fetch(self, name: str, record: str) -> bool:
        """Downloads a part if it is complete, else removes what is here of it."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        return fetch(str(self.at(name)), self.folder / name, record)

    def fetch_file(self, name: str) -> Path:
        """Downloads a file, or removes it here if it is not there."""
        path, content = self.folder / name, read_object(str(self.at(name)))
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return path

    def publish(self, name: str, record: str) -> None:
        """Uploads a part, its record last."""
        publish(self.folder / name, str(self.at(name)), record)

    def publish_file(self, name: str) -> None:
        """Uploads a file."""
        publish_file(self.folder / name, str(self.at(name)))

    def remove(self, name: str) -> None:
        """Removes the objects, and what is here."""
        objects = Objects(str(self.at(name)))
        objects.remove(one.name for one in objects.listed())
        self.forget(name)

    def forget(self, name: str = "") -> None:
        """Removes what is here."""
        shutil.rmtree(self.folder / name, ignore_errors=True)


def place(spec: Spec) -> Place:
    """Returns the place at a path or at a URL."""
    return Bucket(str(spec)) if is_url(spec) else SharedFolder(Path(spec))
