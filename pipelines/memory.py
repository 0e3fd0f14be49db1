"""The memory that a benchmark is measured by. Without torch, whose import alone takes hundreds of MiB."""

from __future__ import annotations

import resource
from pathlib import Path


def peak_memory() -> int:
    """Most bytes of memory that this process has had.

    Linux hands the peak of getrusage on to the programs that a process starts, so a large parent would hide a small
    child; the peak in /proc begins anew with the program.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
