"""A growing text file whose lines are there whole or not at all, whatever happens to the program or the disk."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path


class WholeLines:
    """A file that lines are appended to, each in a single write. To be closed.

    Attributes:
        size: bytes of whole lines.
    """

    def __init__(self, path: Path, header: bytes) -> None:
        """Opens or creates the file, cuts off a torn last line, and begins an empty file with the header.

        Raises:
            OSError: it cannot be opened, or there is no room for the header.
        """
        self._path = path
        self._file = path.open("ab", buffering=0)
        try:
            self.size = whole(path)
            self._torn = True
            if self.size == 0:
                self.append(header)
            self._mend()
        except BaseException:
            self._file.close()
            raise

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
        """Whether the file was moved or removed under our hands, so that nobody would ever see what is added."""
        try:
            return not os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return True

    def close(self) -> None:
        self._file.close()

    def _mend(self) -> None:
        if self._torn:
            self._file.truncate(self.size)
            self._torn = False


def whole(path: Path) -> int:
    """How many bytes of a file are whole lines."""
    if path.stat().st_size == 0:  # which cannot be mapped
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.rfind(b"\n") + 1
