"""Limits on trying addresses: few at once and few in a minute, so that nobody looks through a network with them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

AT_ONCE = 2
FREE = 8  # tries of one person, one after the other
EVERY = 10.0  # seconds after which a further one is free


class TooManyTries(Exception):  # noqa: N818 - names what a person did
    """Who tries has to wait; the text says how long."""


class Tries:
    """The tries of all people, in memory, for any number of threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._busy = set[str]()
        self._spent: dict[str, tuple[float, float]] = {}  # by person: tries, and when that was counted

    @contextmanager
    def begin(self, person: str) -> Iterator[None]:
        """Holds a place for a try.

        Raises:
            TooManyTries: there is none now.
        """
        with self._lock:
            if person in self._busy:
                raise TooManyTries("another address of yours is being tried: wait until that is over")
            if len(self._busy) >= AT_ONCE:
                raise TooManyTries("others are trying addresses: try again in some seconds")
            self._spend(person)
            self._busy.add(person)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(person)

    def _spend(self, person: str) -> None:
        now = self._clock()
        self._spent = {one: (spent, at) for one, (spent, at) in self._spent.items() if spent > (now - at) / EVERY}
        spent, at = self._spent.get(person, (0.0, now))
        spent = max(0.0, spent - (now - at) / EVERY) + 1
        if spent > FREE:
            wait = math.ceil((spent - FREE) * EVERY)
            raise TooManyTries(f"these are many addresses in a short time: try again in {wait} s")
        self._spent[person] = spent, now
