"""Where a variant's time goes: the kernels of a GPU, or the operators of the CPU, that take the most of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch._C._profiler import _ExperimentalConfig
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity, profile

from .machine import synchronise

TIMES = 3  # that the work is profiled, after one that only warms up


@dataclass(frozen=True, slots=True)
class KernelRow:
    """One kernel or operator.

    Attributes:
        milliseconds: of all its calls in one go of the work, without those of what it calls itself.
        calls: in one go.
        share: of the time of all kernels or operators together.
    """

    name: str
    milliseconds: float
    calls: float
    share: float


def profile_kernels(work: Callable[[], object], device: torch.device, most: int = 15) -> list[KernelRow]:
    """Returns the kernels that take the most time in `work`, those of recorded graphs among them.

    Args:
        work: does what is looked at.
        device: whose kernels; on a CPU, PyTorch's operators, so what other runtimes do is not seen.
        most: rows at most.
    """
    on_gpu = device.type == "cuda"
    work()
    synchronise(device)
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    threads = None if on_gpu else _ExperimentalConfig(profile_all_threads=True)
    with profile(activities=[activity], experimental_config=threads) as taken:
        for _ in range(TIMES):
            work()
        synchronise(device)
    found = [
        (one.key, (one.self_device_time_total if on_gpu else one.self_cpu_time_total) / 1000, one.count)
        for one in taken.key_averages()
        if not on_gpu or one.device_type == DeviceType.CUDA
    ]
    total = sum(milliseconds for _, milliseconds, _ in found) or 1.0
    rows = [KernelRow(name, ms / TIMES, count / TIMES, ms / total) for name, ms, count in found]
    return sorted(rows, key=lambda row: -row.milliseconds)[:most]
