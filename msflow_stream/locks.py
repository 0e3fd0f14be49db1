"""Locks between programs, on open files: a lock ends with its file, and so with its program, however that ended."""

from __future__ import annotations

import sys
from typing import IO, Any

if sys.platform == "win32":
    from filelock import lock_descriptor
else:
    import fcntl


def take_lock(file: IO[Any], wait: bool = True) -> bool:
    """Takes the lock of a file, which nobody else has until the file is closed.

    Returns:
        False where another has it and it is not waited for.

    Raises:
        OSError: it cannot be had, such as on a file system without locks.
    """
    if sys.platform == "win32":
        return lock_descriptor(file.fileno(), blocking=wait)
    else:  # noqa: RET505  or mypy looks at it for Windows, too
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def share_lock(file: IO[Any]) -> None:
    """Lets others share a lock that is held; on Windows, where none is shared, they go on taking turns."""
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_SH)
