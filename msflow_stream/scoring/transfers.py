"""Transfers between the machine's memory and a GPU's, beside what the GPU computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Lock

import torch
from torch import Tensor

_streams: dict[tuple[torch.device, str], torch.cuda.Stream] = {}
_lock = Lock()


def sent_up(work: Callable[[], Tensor], device: torch.device) -> Tensor:
    """Returns what `work` makes on a device, which it does beside what the device computes, never waiting for it.

    Args:
        work: copies from pinned memory, without blocking, and prepares.
        device: a GPU; on the CPU there is nothing to be sent.
    """
    if device.type != "cuda":
        return work()
    aside, stream = stream_of(device, "up"), torch.cuda.current_stream(device)
    with torch.cuda.stream(aside):
        made = work()
    stream.wait_stream(aside)
    made.record_stream(stream)
    return made


def fetched(values: Sequence[Tensor]) -> list[Tensor]:
    """Returns values of one device in the machine's memory; waits for them, and for nothing that comes after them."""
    device = values[0].device
    if device.type == "cpu":
        return list(values)
    order = sorted(range(len(values)), key=lambda at: -values[at].itemsize)  # so that each begins where it may
    flat = torch.cat([values[at].contiguous().view(-1).view(torch.uint8) for at in order])
    host, start, found = _copied(flat), 0, list(values)
    for at in order:
        one = values[at]
        # Out of pinned memory, which the next batch needs.
        found[at] = host[start : start + one.nbytes].view(one.dtype).view(one.shape).clone()
        start += one.nbytes
    return found


def _copied(flat: Tensor) -> Tensor:
    device = flat.device
    host = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True)
    aside = stream_of(device, "down")
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        host.copy_(flat, non_blocking=True)
    flat.record_stream(aside)
    aside.record_event().synchronize()
    return host


def scoring_on(device: torch.device) -> AbstractContextManager[object]:
    """Has a GPU do what this thread tells it in the stream of scores: no decoder waits behind it."""
    return torch.cuda.stream(stream_of(device, "scores")) if device.type == "cuda" else nullcontext()


def stream_of(device: torch.device, work: str) -> torch.cuda.Stream:
    """Returns the stream of a GPU for a kind of work, always the same."""
    with _lock:
        if (device, work) not in _streams:
            _streams[device, work] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        return _streams[device, work]
