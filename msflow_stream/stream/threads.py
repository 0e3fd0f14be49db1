"""The threads of a run: started, waited for, and left behind if they do not come back in time."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread, current_thread

from msflow_stream.stream.contract import Clock


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
