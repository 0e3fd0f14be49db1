"""Signals that say something to a run: SIGTERM and Ctrl-C end it, others do what they are given."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event, Thread, current_thread, main_thread
from types import FrameType
from typing import Protocol

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stoppable(Protocol):
    """An Engine, as far as signals know it."""

    def stop(self, timeout: float) -> None: ...

    def abort(self) -> None: ...


@contextmanager
def stopped_by_signals(run: Stoppable, timeout: float) -> Iterator[Event]:
    """While it is open, the first signal stops the run within `timeout` seconds, every later one aborts it.

    To be entered around `join`. Yields what is set by the first signal.
    """
    told = Event()

    def end() -> None:
        if told.is_set():
            run.abort()
        else:
            told.set()
            run.stop(timeout)

    with heard(dict.fromkeys(SIGNALS, end)):
        yield told


@contextmanager
def heard(actions: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """While it is open, each signal has its action done, in a thread, one after the other.

    Only the main thread can have signals; entered by another one it does nothing.
    """
    if current_thread() is not main_thread():
        yield
        return
    # A handler interrupts the main thread anywhere, perhaps with a lock of the run in its hands. So it only leaves
    # word, with the one queue that may be used in such a place, and a thread does the rest.
    words: SimpleQueue[int | None] = SimpleQueue()

    def leave_word(number: int, _frame: FrameType | None) -> None:
        words.put(number)

    def obey() -> None:
        while (number := words.get()) is not None:
            try:
                actions[signal.Signals(number)]()
            except Exception:
                log.exception("what signal %d asks for could not be done", number)

    before = [(number, signal.getsignal(number)) for number in actions]
    thread = Thread(target=obey, name="signals", daemon=True)
    thread.start()
    try:
        for number in actions:
            signal.signal(number, leave_word)
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        words.put(None)
        thread.join()
