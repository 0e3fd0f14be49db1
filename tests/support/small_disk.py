"""A disk that is really full: a small tmpfs, where the system lets us mount one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mounts so many bytes at a new folder; skips the test where that is not permitted.

    Afterwards no file on it may be open any more: a disk that is in use cannot be unmounted.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        reason = done.stderr.strip() if done.returncode else None
    except OSError as error:
        reason = str(error)
    if reason is not None:
        pytest.skip(f"no small disk can be mounted here ({reason})")
    try:
        yield folder
    finally:
        done = subprocess.run(["umount", str(folder)], capture_output=True, text=True, timeout=60)
        if done.returncode:
            subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=60)
    assert not done.returncode, f"files are left open: {done.stderr}"


def fill(disk: Path, room: int = 0) -> Path:
    """Fills a disk up to so many free bytes; returns the file that does, to be removed."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file, suppress(OSError):  # what others write meanwhile leaves less room
        space = os.statvfs(disk)
        file.write(b"\0" * max(0, space.f_bavail * space.f_frsize - room))
    return filler
