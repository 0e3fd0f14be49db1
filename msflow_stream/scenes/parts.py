"""Work on the CPU beside one another: one thread per core, each of which computes alone.

Torch's own threads share the work inside one operation. The convolutions of a flow are too small for that: a second
core brings them nearly nothing. Frames share nothing but the weights.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from msflow_stream.cores import usable_cores

Given = TypeVar("Given")
Made = TypeVar("Made")


class Workers:
    """Threads that work beside one another where the CPU computes; elsewhere the thread that asks for it does all.

    Args:
        device: the device that computes; None for no threads.
        threads: one for each core to use if None.
    """

    def __init__(self, device: torch.device | None, threads: int | None = None) -> None:
        self.threads = threads or usable_cores()
        self._alone = device is not None and device.type == "cpu"
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[Given], Made], given: Iterable[Given]) -> list[Made]:
        """Returns `work` of each, in order: beside one another while `running`, else one after another."""
        return [work(one) for one in given] if self._pool is None else list(self._pool.map(work, given))

    def each(self, work: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
        """Yields `work` of each, in order; takes few more of them than there are threads before they are asked for."""
        if self._pool is None:
            yield from map(work, given)
            return
        begun: deque[Future[Made]] = deque()
        for one in given:
            begun.append(self._pool.submit(work, one))
            if len(begun) > self.threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()

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
