"""Files: suffixes, files that are there whole or not at all, files of whole lines, and how long files are kept."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from msflow_stream.locks import take_lock
from msflow_stream.types import UserError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv"}
    | {".3gp", ".ogv", ".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".265", ".hevc", ".dav", ".asf", ".vob"}
)


def make_folder(folder: Path) -> None:
    """Makes the folder of a sink when the program starts.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder {folder}: {error.strerror}; choose another one") from None


@contextmanager
def held_lock(folder: Path) -> Iterator[bool]:
    """Holds the lock of a folder, `.lock` in it; False where another process holds it.

    Raises:
        OSError: it cannot be opened.
    """
    path = folder / ".lock"
    while True:
        with path.open("ab") as lock:
            if not take_lock(lock, wait=False):
                yield False
                return
            if _is_open_at(path, lock.fileno()):  # else the folder was moved away meanwhile
                yield True
                return


def _is_open_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def file_hash(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yields a path to write to, which takes the place of `path` when all went well and vanishes when not."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file in one step."""
    with replaced(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file that this program wrote.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise UserError(f"{path} is damaged: remove it and run the same command again") from None


class LineFile:
    """A file that lines are appended to, each whole or not at all. A context manager.

    Attributes:
        size: bytes of whole lines.
    """

    def __init__(self, path: Path, header: bytes = b"") -> None:
        """Opens or creates the file, cuts off a torn last line, and begins an empty file with the header.

        Raises:
            OSError: it cannot be opened, or there is no room for the header.
        """
        self._path = path
        self._file = path.open("ab", buffering=0)
        try:
            self.size = _whole_lines(path)
            self._torn = True
            if self.size == 0 and header:
                self.append(header)
            self._mend()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> LineFile:
        """Returns the file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file."""
        self.close()

    def append(self, line: bytes) -> None:
        """Adds a line, which ends in a line feed.

        Raises:
            OSError: it could not be written; nothing of it is left in the file.
        """
        self._mend()
        left = memoryview(line)
        self._torn = True
        try:
            while left:  # a disk that is nearly full takes a part, and refuses only the rest
                left = left[self._file.write(left) :]
        except OSError:
            with suppress(OSError):  # tried again before the next line
                self._mend()
            raise
        self._torn = False
        self.size += len(line)

    def is_gone(self) -> bool:
        """Returns True if the file was moved or removed meanwhile, so that nobody would see what is added."""
        try:
            return not os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return True

    def close(self) -> None:
        """Closes the file; twice is fine."""
        self._file.close()

    def _mend(self) -> None:
        if self._torn:
            self._file.truncate(self.size)
            self._torn = False


def append_line(path: Path, text: str, max_bytes: int, keep: int) -> None:
    """Opens a `LineFile`, or begins one in a folder that may be missing, and adds one line to it.

    A file that would become larger than `max_bytes` is first renamed to NAME.1, the one before it to NAME.2, and so
    on; `keep` of them are kept.

    Raises:
        OSError: it could not be written.
    """
    line = text.encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with LineFile(path) as file:
        if file.size == 0 or file.size + len(line) <= max_bytes:
            file.append(line)
            return
    _put_aside(path, keep)
    with LineFile(path) as file:
        file.append(line)


def _whole_lines(path: Path) -> int:
    """Returns how many bytes of a file are whole lines."""
    if path.stat().st_size == 0:  # which cannot be mapped
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.rfind(b"\n") + 1


def _put_aside(path: Path, keep: int) -> None:
    for number in range(keep, 1, -1):
        with suppress(FileNotFoundError):
            _numbered(path, number - 1).replace(_numbered(path, number))
    if keep:
        path.replace(_numbered(path, 1))
    else:
        path.unlink()


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


class StoredItem(NamedTuple):
    """A file or folder that a retention may remove; items sort by age, the oldest first."""

    time: datetime
    number: int  # among those of the same time
    path: Path
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Retention:
    """The bounds on what is stored in a folder; None sets no bound.

    Attributes:
        keep_days: age of an item.
        keep_bytes: size of all items of a folder together.
        min_free_bytes: space that is left free on the disk.
    """

    keep_days: float | None = None
    keep_bytes: int | None = None
    min_free_bytes: int | None = None

    def enforce(
        self,
        items: Iterable[StoredItem],
        now: datetime,
        in_use: Collection[Path] = (),
        is_kept: Callable[[Path], bool] = lambda _: False,
        remove: Callable[[Path], None] = lambda path: path.unlink(missing_ok=True),
    ) -> int:
        """Removes the oldest items as far as needed, and returns how many that were.

        Args:
            items: the items of one folder, the oldest first; asked for only if there are bounds.
            now: with a time zone.
            in_use: paths of items that count, but stay.
            is_kept: whether an item that would go stays and does not count.
            remove: removes an item.

        Raises:
            OSError: an item cannot be removed: newer ones do not pay for it.
        """
        if self == Retention() or not (found := list(items)):
            return 0
        excess = 0 if self.keep_bytes is None else sum(item.size for item in found) - self.keep_bytes
        # Space that is given back may take a while to show, so it is not asked for again after each removal.
        missing = 0
        if self.min_free_bytes is not None:
            missing = self.min_free_bytes - shutil.disk_usage(found[0].path.parent).free
        removed = 0
        for item in found:
            old = self.keep_days is not None and now - item.time > timedelta(days=self.keep_days)
            if not old and excess <= 0 and missing <= 0:
                break
            if item.path in in_use:
                continue
            if is_kept(item.path):
                excess -= item.size
                continue
            remove(item.path)
            excess, missing, removed = excess - item.size, missing - item.size, removed + 1
        return removed
