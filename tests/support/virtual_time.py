"""An event loop whose clock goes on only when nothing is left to do: hours pass at once, and always in the same way."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

GRACE = 0.002  # seconds for what threads answer, before the clock goes on


class _Clock(selectors.DefaultSelector):
    """A selector that does not wait: the time until the next timer passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        found = super().select(0) or super().select(GRACE)
        if not found:
            self.now += timeout
        return found


def run(work: Coroutine[Any, Any, T]) -> T:
    """Returns what work returns; in it `time.monotonic` and all timers of asyncio are of the clock."""
    clock = _Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: clock.now)
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(clock)) as runner:
            return runner.run(work)
