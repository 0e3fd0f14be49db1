"""The signals that a run obeys: SIGTERM and Ctrl-C end it, others do what they are given."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from socket import socket, socketpair
from threading import Event, Thread, current_thread, main_thread
from types import FrameType
from typing import Protocol

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
END = b"\0"  # is no signal


class Stoppable(Protocol):
    """A StreamRunner, as far as signals know it."""

    def stop(self, timeout: float) -> None:
        """Ends within so many seconds."""
        ...

    def abort(self) -> None:
        """Ends at once."""
        ...


@contextmanager
def stops_on_signals(run: Stoppable, timeout: float) -> Iterator[Event]:
    """Opens a time in which the first signal stops the run within `timeout` seconds, and every later one aborts it.

    To be entered around `join`. Yields what is set by the first signal.
    """
    stopping = Event()

    def end() -> None:
        if stopping.is_set():
            run.abort()
        else:
            stopping.set()
            run.stop(timeout)

    with on_signals(dict.fromkeys(SIGNALS, end)):
        yield stopping


@contextmanager
def on_signals(actions: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Opens a time in which each signal has its action done, in a thread, one after the other.

    Only the main thread can have signals; entered by another one it does nothing.
    """
    if current_thread() is not main_thread():
        yield
        return
    # A handler interrupts the main thread anywhere, perhaps with a lock of the run in its hands; and where another
    # thread takes the signal, it waits until the main one wakes up, which may be never. So nothing is left to it: the
    # number is written to a socket on the spot, and a thread does the rest.
    reader, writer = socketpair()
    writer.setblocking(False)
    outer = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    before = [(number, signal.getsignal(number)) for number in actions]
    thread = Thread(target=_obey, args=(reader, actions, outer), name="signals", daemon=True)
    thread.start()
    try:
        for number in actions:
            signal.signal(number, _ignore)
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        signal.set_wakeup_fd(outer)
        writer.setblocking(True)
        writer.send(END)
        thread.join()
        reader.close()
        writer.close()


def _obey(reader: socket, actions: Mapping[signal.Signals, Callable[[], None]], outer: int) -> None:
    """Does what each number that comes asks for; those of others go to where they went before, -1 for nowhere."""
    while True:
        for number in reader.recv(1):
            if number == END[0]:
                return
            if number not in actions:
                with suppress(OSError):
                    os.write(outer, bytes([number]))
                continue
            try:
                actions[signal.Signals(number)]()
            except Exception:
                log.exception("what signal %d asks for could not be done", number)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Does nothing; without a handler in Python, Python does not write the number."""
