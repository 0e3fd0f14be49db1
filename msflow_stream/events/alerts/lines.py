"""Files of lines that are put aside when they are full."""

from __future__ import annotations

import mmap
from contextlib import suppress
from pathlib import Path


def append_line(path: Path, text: str, max_bytes: int, keep: int) -> None:
    """Adds a line to a file, whole or not at all; one that a kill cut off is taken away first.

    A file that would become larger than `max_bytes` is first renamed to NAME.1, the one before it to NAME.2, and so
    on; `keep` of them are kept.

    Raises:
        OSError: it could not be written.
    """
    line = text.encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    size = _whole(path)
    if size and size + len(line) > max_bytes:
        _put_aside(path, keep)
        size = 0
    with path.open("ab", buffering=0) as file:
        file.truncate(size)
        try:
            left = memoryview(line)
            while left:  # a disk that is nearly full takes a part, and refuses only the rest
                left = left[file.write(left) :]
        except OSError:
            with suppress(OSError):
                file.truncate(size)
            raise


def _whole(path: Path) -> int:
    """How many bytes of a file, if there is one, are whole lines."""
    if not path.exists() or path.stat().st_size == 0:
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
