"""Work on the CPU beside one another: one thread per core, each of which computes alone.

Torch's own threads share the work inside one operation. The convolutions of a flow are too small for that: a second
core brings them nearly nothing. Frames share nothing but the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from msflow_stream.cores import usable_cores

Given = TypeVar("Given")
Made = TypeVar("Made")


class Workers:
    """Threads that work beside one another, on the CPU; without effect elsewhere.

    Args:
        device: the device that computes.
        threads: one for each core to use if None.
    """

    def __init__(self, device: torch.device, threads: int | None = None) -> None:
        self.threads = (threads or usable_cores()) if device.type == "cpu" else 1
        self._alone = device.type == "cpu"
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[Given], Made], given: Sequence[Given]) -> list[Made]:
        """Returns `work` of each, in order: beside one another while `running`, else one after another."""
        return [work(one) for one in given] if self._pool is None else list(self._pool.map(work, given))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Has the threads as long as this lasts; meanwhile no operation of torch is shared by threads."""
        if not self._alone:
            yield
            return
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(self.threads, "fit", lambda: torch.set_num_threads(1)) as self._pool:
                yield
        finally:
            self._pool = None
            torch.set_num_threads(before)
