"""Time as the pipeline sees it: injected, so that a test decides what time it is."""

from __future__ import annotations

import time
from threading import Condition
from typing import Protocol


class Clock(Protocol):
    """Seconds from some start, and a wait that ends by them."""

    def now(self) -> float:
        """Seconds; never goes back."""
        ...

    def wait(self, condition: Condition, until: float | None) -> None:
        """Waits, with the lock of `condition` held, for a notification or until a time; may return early.

        Args:
            until: on this clock, in seconds; None waits for a notification only.
        """
        ...


class MonotonicClock:
    """The machine's own, unmoved by corrections of the date."""

    def now(self) -> float:
        return time.monotonic()

    def wait(self, condition: Condition, until: float | None) -> None:
        condition.wait(None if until is None else max(0.0, until - self.now()))
