"""An event loop whose clock goes on only when nothing is left to do: hours pass at once, and always in the same way."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

GRACE = 0.002  # seconds for what others answer, before the clock goes on
PATIENCE = 60.0  # seconds for threads of the loop to answer: as long as they need


class _Clock(selectors.DefaultSelector):
    """A selector that does not wait: the time until the next timer passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = time.monotonic()
        self.threads = 0  # in which the loop has something done

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        found = super().select(0) or super().select(PATIENCE if self.threads else GRACE)
        if not found:
            self.now += timeout
        return found


class _Loop(asyncio.SelectorEventLoop):
    """A loop that says how many threads work for it."""

    def __init__(self, clock: _Clock) -> None:
        super().__init__(clock)
        self._clock = clock

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        self._clock.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._done)
        return future

    def _done(self, _: object) -> None:
        self._clock.threads -= 1


def run(work: Coroutine[Any, Any, T]) -> T:
    """Returns what work returns; in it `time.monotonic` and all timers of asyncio are of the clock."""
    clock = _Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: clock.now)
        with asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner:
            return runner.run(work)
