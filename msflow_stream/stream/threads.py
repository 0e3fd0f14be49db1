"""The threads of a run, which may be left behind if they do not end, and a queue with a thread that writes."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from threading import Condition, Thread, current_thread
from typing import Generic, NamedTuple, TypeVar

from msflow_stream.logs import redact
from msflow_stream.stream.contract import Clock

logger = logging.getLogger(__name__)

SLOW, BUG, CLOSED = "slow", "bug", "closed"  # why an item was never written
T = TypeVar("T")


class ThreadGroup:
    """The threads of a run, started one by one and waited for together.

    They are daemons: one that hangs in foreign code does not keep the process alive.

    Args:
        clock: the clock of the deadline.
        failed: called, in its thread, with what a thread's work raised.
    """

    def __init__(self, clock: Clock, failed: Callable[[BaseException], None]) -> None:
        self._clock, self._failed = clock, failed
        self._changed = Condition()
        self._threads: set[Thread] = set()
        self._working: set[Thread] = set()
        self._deadline: float | None = None

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Does the work in a thread of that name."""
        thread = Thread(target=self._do, args=(work,), name=name, daemon=True)
        with self._changed:
            thread.start()
            self._threads = {known for known in self._threads if known.is_alive()} | {thread}
            self._working.add(thread)

    def leave_by(self, deadline: float) -> None:
        """Sets when `wait` stops waiting, in place of what was said before."""
        with self._changed:
            self._deadline = deadline
            self._changed.notify_all()

    def wait(self) -> bool:
        """Returns True once all threads have left, False if the deadline passed first."""
        with self._changed:
            while self._working:
                if self._deadline is not None and self._clock.now() >= self._deadline:
                    break
                self._clock.wait(self._changed, self._deadline)
            done = self._threads - self._working - {current_thread()}
        for thread in done:  # past their last line of work: this takes no time
            thread.join()
        return not self.left_behind()

    def left_behind(self) -> list[str]:
        """Returns the names of the threads that are still at work."""
        with self._changed:
            return sorted(thread.name for thread in self._working)

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._failed(error)
        finally:
            with self._changed:  # entered after `start` has noted the thread
                self._working.discard(current_thread())
                self._changed.notify_all()


class _Entry(NamedTuple, Generic[T]):
    item: T
    required: bool


class ThreadedQueue(Generic[T]):
    """A queue whose items are written one after the other by a thread of its own.

    When it is full, the oldest item that is not required is dropped, or, where it is lossless, `put` waits. A writer
    that raises is closed for good, and what comes for it later is dropped: the program goes on without it.
    """

    def __init__(
        self, write: Callable[[T], None], close: Callable[[], None], name: str, capacity: int, lossless: bool = False
    ) -> None:
        """Starts the thread.

        Args:
            write: writes one item; called in the thread, as `close` is.
            close: finishes the output, once, whatever happened before.
            name: name of the thread, for messages, such as "gate recorder".
            capacity: items that wait at most; required ones do not count.
            lossless: a full queue makes `put` wait.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._write, self._finish, self._name = write, close, name
        self._capacity, self._lossless = capacity, lossless
        self._waiting: deque[_Entry[T]] = deque()
        self._changed = threading.Condition()
        self._dropped = dict.fromkeys((SLOW, BUG, CLOSED), 0)
        self._closing = self._broken = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> Mapping[str, int]:
        """Items that were never written, by cause; all causes are there from the start."""
        with self._changed:
            return dict(self._dropped)

    def put(self, item: T, required: bool = False) -> None:
        """Hands an item to the thread; a required one is neither dropped nor waited for."""
        with self._changed:
            if self._lossless and not required:
                self._changed.wait_for(lambda: not self._is_full() or self._broken or self._closing)
            if self._broken or self._closing:
                self._dropped[BUG if self._broken else CLOSED] += not required
                return
            if not required and self._is_full():
                del self._waiting[next(place for place, one in enumerate(self._waiting) if not one.required)]
                self._dropped[SLOW] += 1
            self._waiting.append(_Entry(item, required))
            self._changed.notify_all()

    def close(self, timeout: float | None = None) -> None:
        """Waits until the thread has written what waits and closed the output; twice is fine.

        A thread that needs longer than `timeout` seconds is left behind; it does not hold up the program's end.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        if timeout is None or not self._thread.is_alive():
            return
        with self._changed:
            left = self._drop_waiting(SLOW)
        logger.warning("%s does not end within %g s and is left behind; %d frames dropped", self._name, timeout, left)

    def _is_full(self) -> bool:
        return sum(not entry.required for entry in self._waiting) >= self._capacity

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            try:
                self._write(entry.item)
            except Exception as error:
                self._break(error, int(not entry.required))
                break
        try:
            self._finish()
        except Exception as error:
            self._break(error, 0)

    def _next(self) -> _Entry[T] | None:
        """Waits for an item; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.notify_all()
            return self._waiting.popleft() if self._waiting else None

    def _break(self, error: Exception, lost: int) -> None:
        """Counts what is no longer written, and says why, once."""
        with self._changed:
            if self._broken:
                return
            self._broken = True
            self._dropped[BUG] += lost
            self._drop_waiting(BUG)
            self._waiting.clear()
        trace = "".join(redact(line) for line in traceback.format_exception(error))
        logger.error("%s has failed (internal error) and is switched off; all else goes on:\n%s", self._name, trace)

    def _drop_waiting(self, cause: str) -> int:
        """Drops what waits and is not required, and returns how much that was."""
        required = deque(entry for entry in self._waiting if entry.required)
        left = len(self._waiting) - len(required)
        self._waiting = required
        self._dropped[cause] += left
        self._changed.notify_all()
        return left
