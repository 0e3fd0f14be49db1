"""Measurements taken in turn, round by round, and this machine: its facts, and the memory of this process."""

from __future__ import annotations

import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch

from msflow_stream.cores import usable_cores
from msflow_stream.machine import usable_memory
from msflow_stream.results.run_folder import versions

from ..terminal.progress import progress

GIGA = 1e9
COPY = "copy"  # among peaks by precision: bytes that are read and written
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that something took: on the clock, and of all cores together."""

    wall: float
    cpu: float


def spent(work: Callable[[], object]) -> Spent:
    """Returns the time that `work` takes in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(measurements: Mapping[Key, Callable[[], Value]], rounds: int, task: str) -> dict[Key, list[Value]]:
    """Returns what each measurement gave in `rounds` rounds of all of them, after one that only warms up.

    Args:
        task: what the progress bar says.
    """
    taken: dict[Key, list[Value]] = {key: [] for key in measurements}
    with progress("measurements") as bars:
        bar = bars.add_task(task, total=(rounds + 1) * len(measurements))
        for number in range(rounds + 1):
            for key, measure in measurements.items():
                value = measure()
                if number:
                    taken[key].append(value)
                bars.advance(bar)
    return taken


def median(values: Iterable[Spent]) -> Spent:
    """The medians of both."""
    pairs = list(values)
    return Spent(statistics.median(one.wall for one in pairs), statistics.median(one.cpu for one in pairs))


def machine_facts(device: torch.device, peaks: dict[str, float] | None = None) -> dict[str, Any]:
    """Returns what a figure is read with: processor, cores, memory, device, versions, date.

    Args:
        device: where it was measured.
        peaks: operations per second by precision, and bytes per second under COPY, as of `Peaks`.
    """
    facts = {
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(usable_memory() / 2**30, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "gpu": gpu_facts(device) if device.type == "cuda" else None,
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    if peaks is not None:
        facts["peak_gflops"] = {name: round(value / GIGA, 1) for name, value in peaks.items() if name != COPY}
        facts["copy_gb_per_s"] = round(peaks[COPY] / GIGA, 1)
    return facts


def gpu_facts(device: torch.device) -> dict[str, Any]:
    """Returns what a GPU is: its name and memory, what it can run, and its driver."""
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "multiprocessors": properties.multi_processor_count,
        "capability": f"{properties.major}.{properties.minor}",
        "driver": driver_version(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def driver_version() -> str | None:
    """Returns the version of NVIDIA's driver; None where it cannot be asked."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return None
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return found[0] if found else None


def machine_line(facts: dict[str, Any]) -> str:
    """Returns the facts of a machine in one line."""
    gpu = "" if facts["gpu"] is None else f", {facts['device']} (driver {facts['gpu']['driver'] or 'unknown'})"
    return f"{facts['cores']} cores of {facts['cpu']}{gpu}, torch {torch.__version__}, {facts['date']}"


def synchronise(device: torch.device) -> None:
    """Waits for what a GPU has been told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def peak_memory() -> int:
    """Most bytes of memory that this process has had.

    Linux hands the peak of getrusage on to the programs that a process starts, so a large parent would hide a small
    child; the peak in /proc begins anew with the program.
    """
    if (known := _status("VmHWM:")) is not None:
        return known
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # there, it is in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


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
