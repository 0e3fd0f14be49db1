"""SIGTERM and Ctrl-C: the first lets a run end well, the second ends it at once."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from threading import Thread
from types import FrameType
from typing import Protocol

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stoppable(Protocol):
    """An Engine, as far as signals know it."""

    def stop(self, timeout: float) -> None: ...

    def abort(self) -> None: ...


@contextmanager
def stopped_by_signals(run: Stoppable, timeout: float) -> Iterator[None]:
    """While it is open, the first signal stops the run within `timeout` seconds, every later one aborts it.

    To be entered by the main thread, around `join`.
    """
    # A handler interrupts the main thread anywhere, perhaps with a lock of the run in its hands. So it only leaves
    # word, with the one queue that may be used in such a place, and a thread does the rest.
    words: SimpleQueue[bool] = SimpleQueue()

    def leave_word(_number: int, _frame: FrameType | None) -> None:
        words.put(True)

    def obey() -> None:
        end: Callable[[], None] = partial(run.stop, timeout)
        while words.get():
            try:
                end()
            except Exception:
                log.exception("a signal came, but the run could not be told")
            end = run.abort

    before = [(number, signal.getsignal(number)) for number in SIGNALS]
    thread = Thread(target=obey, name="signals", daemon=True)
    thread.start()
    try:
        for number in SIGNALS:
            signal.signal(number, leave_word)
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        words.put(False)
        thread.join()
