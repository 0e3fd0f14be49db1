"""The machine's devices, memory and cache folder, as far as this process may use them."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

import platformdirs
import torch

from msflow_stream.cores import usable_cores
from msflow_stream.types import UserError

MALLOC_ARENAS, MALLOC_MAP_FROM, MALLOC_TRIM_FROM = -8, -3, -1  # M_ARENA_MAX and so on of glibc's malloc.h
CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")  # of a container
TF32 = RLock()  # the switches of float32 are the process's


def choose_device(name: str) -> torch.device:
    """Returns the device that a person names; `auto` takes CUDA where there is one.

    On the CPU, torch gets as many threads as there are cores to use: it does not see a container's quota itself. On a
    GPU, float32 is IEEE's from then on: torch would compute convolutions with 10 bits of the mantissa (TF32).

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
    else:
        _allow_tf32(False)
    return device


def has_bf16(device: torch.device) -> bool:
    """Returns whether a GPU computes in bfloat16 itself: torch's own answer counts those that imitate it."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


@contextmanager
def tf32() -> Iterator[None]:
    """Has GPUs compute products and convolutions of float32 in TF32 as long as this lasts.

    The whole process does so meanwhile, and only one thread at a time is in here.
    """
    with TF32:
        _allow_tf32(True)
        try:
            yield
        finally:
            _allow_tf32(False)


def _allow_tf32(allowed: bool) -> None:
    # Of torch's two ways to say so, the one that every version can read back.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def device_memory(device: torch.device) -> int | None:
    """Bytes of a GPU's memory that tensors of this process take; None for the CPU."""
    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else None


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU's memory that this process may still take, what torch keeps for tensors to come included."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def settle_memory() -> None:
    """Keeps the memory of a process that runs for weeks as it is, though images come and go by the million.

    glibc gives each thread a heap of its own, and large blocks to and from the system. Images that one thread makes
    and another frees leave holes in the one and cost page faults with the other: measured over eight cameras, tens of
    MiB more each minute. With one heap that is never trimmed, memory stays at its highest. Elsewhere than with glibc,
    this does nothing. To be called before threads are started.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    for parameter, value in ((MALLOC_ARENAS, 1), (MALLOC_MAP_FROM, 32 * 2**20), (MALLOC_TRIM_FROM, 2**31 - 1)):
        mallopt(parameter, value)


def usable_memory() -> int:
    """Bytes of memory: the machine's, or a container's limit."""
    physical = _physical_memory()
    try:
        return min(physical, int(CGROUP_MEMORY.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no such file, or "max"
        return physical


def _physical_memory() -> int:
    if sys.platform == "win32":
        import psutil

        return int(psutil.virtual_memory().total)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cache_folder() -> Path:
    """The folder where the platform wants programs to keep what they can make again."""
    return platformdirs.user_cache_path("msflow-stream", appauthor=False)
