"""From one thread to the next: room for one thing."""

from __future__ import annotations

from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """One thread puts, one thread takes; `put` waits until the thing before was taken, so that little is held."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._things: list[T] = []  # one at most
        self._closed = self._halted = False

    def put(self, thing: T) -> bool:
        """False if nobody will take it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._things or self._halted)
            if self._halted:
                return False
            self._things.append(thing)
            self._changed.notify_all()
            return True

    def take(self) -> T | None:
        """Waits for the next thing; None after the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._things or self._closed or self._halted)
            if self._halted or not self._things:
                return None
            self._changed.notify_all()
            return self._things.pop()

    def close(self) -> None:
        """What was put is the last."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def halt(self) -> list[T]:
        """Nothing passes any more; returns what had not been taken."""
        with self._changed:
            self._halted = True
            self._changed.notify_all()
            left, self._things = self._things, []
            return left
