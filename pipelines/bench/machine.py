"""Measurements taken in turn, round by round, and this machine: peak speed and memory, and its facts."""

from __future__ import annotations

import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from msflow_stream.cores import usable_cores
from msflow_stream.machine import usable_memory
from msflow_stream.results.run_folder import versions

from ..terminal.progress import progress

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8}
SLOW = 2.0  # seconds: what takes longer is only imitated on this machine, and not waited for again
GIGA = 1e9
PeakKey = tuple[str, str, int]
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


@dataclass(frozen=True, slots=True)
class Load:
    """Sizes of what the peak is measured with: a product of square matrices, and a 3x3 convolution."""

    matrix: int = 1536
    channels: int = 128
    side: int = 64
    batch: int = 4

    @classmethod
    def of(cls, device: torch.device) -> Load:
        """Large enough that starting the work takes no time beside it."""
        return cls() if device.type == "cpu" else cls(matrix=8192, channels=512, side=128, batch=32)


class Peaks:
    """Operations per second (a multiplication and an addition are two) by precision, where torch has it here.

    They are measured in the rounds of what they are compared with, as a busy machine does less at one time than at
    another: `measurements` go into the rounds, `add` gets what came of them.

    Args:
        device: where the work is done.
        load: how much; None: what suits the device.
    """

    def __init__(self, device: torch.device, load: Load | None = None) -> None:
        self.measurements: dict[PeakKey, Callable[[], Spent]] = {}
        self._operations: dict[PeakKey, float] = {}
        self._speeds: dict[str, float] = {}
        for name, dtype in PRECISIONS.items():
            for number, (operations, work) in enumerate(_works(dtype, device, load or Load.of(device))):
                if _is_usable(work, device):
                    self.measurements["peak", name, number] = _measurement(work, device)
                    self._operations["peak", name, number] = operations

    def add(self, taken: Mapping[PeakKey, Sequence[Spent]]) -> None:
        """The fastest of all rounds counts; what is not of `measurements` is passed over."""
        for key, operations in self._operations.items():
            speed = operations / min(value.wall for value in taken[key])
            self._speeds[key[1]] = max(speed, self._speeds.get(key[1], 0.0))

    @property
    def speeds(self) -> dict[str, float]:
        """Speeds by precision; none is below float32's, which a machine without the precision computes in instead."""
        return {name: max(speed, self._speeds["float32"]) for name, speed in self._speeds.items()}


def machine_facts(device: torch.device, peaks: dict[str, float] | None = None) -> dict[str, Any]:
    """Returns what a figure is read with: processor, cores, memory, device, versions, date."""
    facts = {
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(usable_memory() / 2**30, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    if peaks is not None:
        facts["peak_gflops"] = {name: round(value / GIGA, 1) for name, value in peaks.items()}
    return facts


def machine_line(facts: dict[str, Any]) -> str:
    """Returns the facts of a machine in one line."""
    gpu = "" if facts["device"] == "cpu" else f", {facts['device']}"
    return f"{facts['cores']} cores of {facts['cpu']}{gpu}, torch {torch.__version__}, {facts['date']}"


def synchronise(device: torch.device) -> None:
    """Waits for what a GPU has been told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _works(dtype: torch.dtype, device: torch.device, load: Load) -> list[tuple[float, Callable[[], object]]]:
    """Operations and the work itself: of a product and, where torch has it, of a convolution."""
    a, b = _random((load.matrix, load.matrix), dtype, device), _random((load.matrix, load.matrix), dtype, device)
    product = 2.0 * load.matrix**3
    if dtype == torch.int8:
        return [(product, lambda: torch._int_mm(a, b))]  # the one product of integers that torch has
    x = _random((load.batch, load.channels, load.side, load.side), dtype, device)
    weight = _random((load.channels, load.channels, 3, 3), dtype, device)
    x, weight = (one.contiguous(memory_format=torch.channels_last) for one in (x, weight))
    convolution = 2.0 * load.batch * load.side**2 * load.channels**2 * 9
    return [
        (product, lambda: a @ b),
        (convolution, lambda: F.conv2d(x, weight, padding=1)),
    ]


def _random(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return (10 * values if dtype == torch.int8 else values).to(device, dtype)


def _is_usable(work: Callable[[], object], device: torch.device) -> bool:
    try:
        _measurement(work, device)()
        return _measurement(work, device)().wall < SLOW
    except (RuntimeError, NotImplementedError):  # what torch raises where it lacks a kernel
        return False


def _measurement(work: Callable[[], object], device: torch.device) -> Callable[[], Spent]:
    def whole() -> None:
        with torch.inference_mode():
            work()
            synchronise(device)

    return lambda: spent(whole)


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
