"""What this machine has: devices, cores and memory that the process may use."""

from __future__ import annotations

import os
from pathlib import Path

import joblib
import torch

from msflow_stream.types import UserError

CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")  # of a container


def choose_device(name: str) -> torch.device:
    """The device a person names; `auto` takes CUDA where there is one.

    On the CPU, torch gets as many threads as there are cores to use: it does not see a container's quota itself.

    Raises:
        UserError: a device that this machine lacks.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"no device {name!r} on this machine: use --device auto, cpu or cuda") from None
    if device.type == "cpu":
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    return device


def device_memory(device: torch.device) -> int | None:
    """Bytes of a GPU's memory that tensors of this process take; None for the CPU."""
    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else None


def usable_cores() -> int:
    """CPU cores that affinity and a container's quota leave to this process."""
    return int(joblib.cpu_count())


def usable_memory() -> int:
    """Bytes of memory: the machine's, or a container's limit."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(CGROUP_MEMORY.read_text()))
    except (OSError, ValueError):  # no such file, or "max"
        return physical
