"""Folders that one program at a time writes, on whatever machine it runs."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from msflow_stream.locks import take_lock


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Has the folder, and what is hidden beside it, for itself.

    A program that began the same work before, was taken for dead and is not, is waited for: its lock ends with it. On
    a file system without locks nobody is waited for.
    """
    lock = folder.with_name(f".{folder.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with lock.open("ab") as file:
            if _locked(file) and not _is_there(lock, file.fileno()):
                continue  # who had it before has removed it
            try:
                yield
            finally:
                with suppress(PermissionError):  # of Windows, where an open file stays
                    lock.unlink(missing_ok=True)
            return


def _locked(file: IO[bytes]) -> bool:
    """Waits for a lock; returns False where the file system has none."""
    try:
        take_lock(file)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP):
            return False
        raise
    return True


def _is_there(lock: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), lock.stat())
    except FileNotFoundError:
        return False
