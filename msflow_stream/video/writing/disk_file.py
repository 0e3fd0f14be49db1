"""A file that FFmpeg writes through; a failed write is an error at once, and the file is closed whatever happens."""

from __future__ import annotations

import errno
import io
from contextlib import suppress
from pathlib import Path


class DiskFile(io.FileIO):
    """A new file, unbuffered, for `av.open`.

    PyAV leaves a file that it opened by itself open for ever where the header finds no room; this one is the caller's
    to close. Errors are told as FFmpeg's own files tell them, by a negative number: one that is raised in the middle of
    FFmpeg comes out as something else at every later call. After an error nothing more is written, and the file ends
    where the failed write began: with a part of a fragment's header, or with its own header as that of a file that was
    finished, FFmpeg could play nothing of it.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file, replacing what it holds.

        Raises:
            OSError: it cannot be opened.
        """
        super().__init__(path, "wb")
        self._error = 0
        self._whole = 0  # bytes that were written whole

    def write(self, data: bytes) -> int:  # type: ignore[override]  # FFmpeg gives nothing else
        """Writes all of it, in pieces if need be, and returns its length, or the negative number of the error.

        FFmpeg takes every other return for a success, and a disk that is nearly full takes only the first part.
        """
        if self._error:
            return -self._error
        begin, left = self.tell(), memoryview(data)
        try:
            while left:
                left = left[super().write(left) or 0 :]
        except OSError as error:
            self._error = error.errno or errno.EIO
            with suppress(OSError):
                self.truncate(max(begin, self._whole))
            return -self._error
        self._whole = max(self._whole, self.tell())
        return len(data)
