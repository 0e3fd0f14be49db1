"""The most that a machine can do: operations per second by precision, and bytes per second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from msflow_stream.machine import tf32

from .machine import COPY, Spent, spent, synchronise

PRECISIONS = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.int8,
}
SLOW = 2.0  # seconds: what takes longer is only imitated on this machine, and not waited for again
PeakKey = tuple[str, str, int]
Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Load:
    """Sizes of what the peak is measured with: a product of square matrices, a 3x3 convolution, a copy in memory.

    Attributes:
        times: how often each is done in a row; the host then waits once.
    """

    matrix: int = 1536
    channels: int = 128
    side: int = 64
    batch: int = 4
    copied_bytes: int = 64 * 2**20
    times: int = 1

    @classmethod
    def of(cls, device: torch.device) -> Load:
        """Large enough that starting the work takes no time beside it."""
        if device.type == "cpu":
            return cls()
        return cls(matrix=8192, channels=512, side=128, batch=8, copied_bytes=2**29, times=10)


class Peaks:
    """Operations per second (a multiplication and an addition are two) by precision, where torch has it here.

    Under COPY, bytes per second that are read and written. All are measured in the rounds of what they are compared
    with, as a busy machine does less at one time than at another: `measurements` go into the rounds, `add` gets what
    came of them.

    Args:
        device: where the work is done.
        load: how much; None: what suits the device.
    """

    def __init__(self, device: torch.device, load: Load | None = None) -> None:
        self.measurements: dict[PeakKey, Callable[[], Spent]] = {}
        self._amounts: dict[PeakKey, float] = {}
        self._speeds: dict[str, float] = {}
        load = load or Load.of(device)
        for name, dtype in PRECISIONS.items():
            if name == "tf32" and device.type == "cpu":
                continue
            for number, (operations, work) in enumerate(_works(dtype, device, load)):
                measure = _measurement(work, device, load.times, name)
                if _is_usable(measure):
                    self._measure(("peak", name, number), operations * load.times, measure)
        amount, work = _copy(device, load)
        self._measure(("peak", COPY, 0), amount * load.times, _measurement(work, device, load.times, COPY))

    def add(self, taken: Mapping[PeakKey, Sequence[Spent]]) -> None:
        """The fastest of all rounds counts; what is not of `measurements` is passed over."""
        for key, amount in self._amounts.items():
            speed = amount / min(value.wall for value in taken[key])
            self._speeds[key[1]] = max(speed, self._speeds.get(key[1], 0.0))

    @property
    def speeds(self) -> dict[str, float]:
        """Speeds by precision; none is below float32's, which a machine without the precision computes in instead."""
        least = self._speeds["float32"]
        return {name: value if name == COPY else max(value, least) for name, value in self._speeds.items()}

    def _measure(self, key: PeakKey, amount: float, measure: Callable[[], Spent]) -> None:
        self.measurements[key], self._amounts[key] = measure, amount


def _works(dtype: torch.dtype, device: torch.device, load: Load) -> list[tuple[float, Work]]:
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
    values = torch.randn(shape, generator=torch.Generator(device).manual_seed(0), device=device)
    return (10 * values if dtype == torch.int8 else values).to(dtype)


def _copy(device: torch.device, load: Load) -> tuple[float, Work]:
    """Bytes, read and written together, and the copy itself."""
    source = torch.ones(load.copied_bytes // 4, device=device)
    target = torch.empty_like(source)
    return 2.0 * source.nbytes, lambda: target.copy_(source)


def _is_usable(measure: Callable[[], Spent]) -> bool:
    try:
        measure()
        return measure().wall < SLOW
    except (RuntimeError, NotImplementedError):  # what torch raises where it lacks a kernel
        return False


def _measurement(work: Work, device: torch.device, times: int, precision: str) -> Callable[[], Spent]:
    def whole() -> None:
        for _ in range(times):
            work()
        synchronise(device)

    def measured() -> Spent:
        with torch.inference_mode(), tf32() if precision == "tf32" else nullcontext(), fastest_convolutions():
            return spent(whole)

    return measured


@contextmanager
def fastest_convolutions() -> Iterator[None]:
    """Has cuDNN try its convolutions for each new size, and take the fastest."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
