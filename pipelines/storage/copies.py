"""Copies of objects on this machine: made once per version, shared by all programs, and removed for newer ones."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from msflow_stream.files import Retention, StoredItem, read_json, write_json
from msflow_stream.locks import share_lock, take_lock
from msflow_stream.logs import redact
from msflow_stream.machine import cache_folder
from msflow_stream.types import UserError

from .objects import Objects, Stored
from .urls import Spec, is_url, last_part

BOUNDS = Retention(keep_bytes=100 * 2**30, min_free_bytes=2 * 2**30)
LOCK, FACTS, PARTIAL, WHOLE = "lock", "facts.json", "partial", "whole"


@contextmanager
def local_copy(spec: Spec) -> Iterator[Path]:
    """Yields a path where a file or a folder can be read: itself, or a copy of what is at a URL, which stays meanwhile.

    Raises:
        UserError: nothing is at the URL, or it cannot be read.
    """
    if is_url(spec):
        with Copies(cache_folder() / "copies").copy(str(spec)) as path:
            yield path
    else:
        yield Path(spec)


class Copies:
    """The copies in a folder, an entry for each version of what is at a URL.

    An entry is locked by those who read it, so that nobody removes it; the lock of a program that dies is gone.
    """

    def __init__(self, folder: Path, bounds: Retention = BOUNDS) -> None:
        self._folder, self._bounds = folder, bounds

    @contextmanager
    def copy(self, url: str) -> Iterator[Path]:
        """Yields the path of a copy that has the object's or the folder's name.

        Raises:
            UserError: nothing is there, or it cannot be read.
        """
        objects = Objects(url)
        found = objects.listed()
        if not found:
            raise UserError(f"nothing is at {redact(url)}")
        entry = self._folder / _key(url, found)
        while True:
            with _opened(entry) as lock:
                if lock is None:
                    continue
                if not (entry / WHOLE).exists():
                    self._download(objects, found, entry)
                os.utime(entry / FACTS)
                share_lock(lock)
                if not _is_same(lock, entry):  # for an instant it was nobody's
                    continue
                yield entry / WHOLE / last_part(url)
                return

    def _download(self, objects: Objects, found: Sequence[Stored], entry: Path) -> None:
        size = sum(one.size for one in found)
        write_json(entry / FACTS, {"url": redact(objects.url), "bytes": size})
        self._make_room(size, entry)
        partial = entry / PARTIAL
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        objects.get([one.name for one in found], partial / last_part(objects.url))
        partial.replace(entry / WHOLE)

    def _make_room(self, size: int, wanted: Path) -> None:
        """Removes the copies that were used longest ago, as far as needed for so many bytes more."""
        keep, free = self._bounds.keep_bytes, self._bounds.min_free_bytes
        bounds = Retention(
            keep_bytes=None if keep is None else max(0, keep - size),
            min_free_bytes=None if free is None else free + size,
        )
        items = sorted(item for path in self._folder.iterdir() if path != wanted and (item := _item(path)) is not None)
        used = [item.path for item in items if _is_used(item.path)]
        bounds.enforce(items, datetime.now(UTC), used, remove=_remove)


def _key(url: str, found: Sequence[Stored]) -> str:
    facts = [url, *(f"{one.name}|{one.size}|{one.version}" for one in found)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:24]


@contextmanager
def _opened(entry: Path) -> Iterator[IO[bytes] | None]:
    """Makes an entry and has it for itself; yields its lock, or None where it was removed meanwhile."""
    entry.mkdir(parents=True, exist_ok=True)
    try:
        lock = (entry / LOCK).open("ab")
    except FileNotFoundError:
        yield None
        return
    with lock:
        take_lock(lock)
        yield lock if _is_same(lock, entry) else None


def _is_same(lock: IO[bytes], entry: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), (entry / LOCK).stat())
    except FileNotFoundError:
        return False


def _item(entry: Path) -> StoredItem | None:
    with suppress(OSError, UserError, KeyError):
        used = datetime.fromtimestamp((entry / FACTS).stat().st_mtime, UTC)
        return StoredItem(used, 0, entry, int(read_json(entry / FACTS)["bytes"]))
    return None


@contextmanager
def _if_unused(entry: Path) -> Iterator[bool]:
    """Has an entry for itself if nobody reads it; yields whether it has."""
    try:
        with (entry / LOCK).open("ab") as lock:
            yield take_lock(lock, wait=False)
    except OSError:
        yield False


def _is_used(entry: Path) -> bool:
    with _if_unused(entry) as free:
        return not free


def _remove(entry: Path) -> None:
    with _if_unused(entry) as free:
        if free:
            shutil.rmtree(entry, ignore_errors=True)
