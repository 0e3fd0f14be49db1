"""The memory that a benchmark is measured by. Without torch, whose import alone takes hundreds of MiB."""

from __future__ import annotations

import resource
from pathlib import Path


def peak_memory() -> int:
    """Most bytes of memory that this process has had.

    Linux hands the peak of getrusage on to the programs that a process starts, so a large parent would hide a small
    child; the peak in /proc begins anew with the program.
    """
    return _status("VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_memory() -> int:
    """Bytes of memory that this process has now; its peak where the system does not say."""
    return _status("VmRSS:") or peak_memory()


def _status(name: str) -> int | None:
    """Bytes of a line of /proc/self/status; None elsewhere than on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return None
