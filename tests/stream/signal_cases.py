from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from queue import Queue
from threading import Event, Thread

import pytest

from msflow_stream.stream.signals import SIGNALS, on_signals, stops_on_signals

PATIENCE = 30.0  # seconds after which a test says that something hangs


@pytest.fixture(autouse=True)
def harmless() -> Iterator[None]:
    """A signal that comes when its handlers are gone again does not end the tests."""
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Run:
    def __init__(self) -> None:
        self.calls: Queue[str] = Queue()

    def stop(self, timeout: float) -> None:
        self.calls.put(f"stop within {timeout:g} s")

    def abort(self) -> None:
        self.calls.put("abort")


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_first_signal_stops_and_the_second_aborts(first: signal.Signals, second: signal.Signals) -> None:
    run = Run()
    with stops_on_signals(run, 10.0) as stopping:
        assert not stopping.is_set()
        os.kill(os.getpid(), first)
        assert run.calls.get(timeout=PATIENCE) == "stop within 10 s"
        assert stopping.is_set()
        os.kill(os.getpid(), second)
        assert run.calls.get(timeout=PATIENCE) == "abort"


def test_a_signal_that_another_thread_takes_is_obeyed_though_the_main_one_sleeps() -> None:
    run, awake = Run(), Event()
    with stops_on_signals(run, 10.0), on_signals({signal.SIGHUP: awake.set}):
        thread = Thread(target=awake.wait, args=(PATIENCE,))
        thread.start()
        assert thread.ident is not None
        signal.pthread_kill(thread.ident, signal.SIGTERM)
        assert run.calls.get(timeout=PATIENCE) == "stop within 10 s"  # handed on by the inner one
        signal.pthread_kill(thread.ident, signal.SIGHUP)
        assert awake.wait(PATIENCE)
        thread.join()


def test_afterwards_signals_do_what_they_did_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with stops_on_signals(Run(), 10.0):
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_stop_that_fails_does_not_keep_the_second_signal_from_aborting() -> None:
    run = Run()

    def failing(timeout: float) -> None:
        run.calls.put("failing")
        raise OSError("disk full")

    run.stop = failing  # type: ignore[method-assign]
    with stops_on_signals(run, 10.0):
        os.kill(os.getpid(), signal.SIGTERM)
        assert run.calls.get(timeout=PATIENCE) == "failing"
        os.kill(os.getpid(), signal.SIGTERM)
        assert run.calls.get(timeout=PATIENCE) == "abort"


def test_another_signal_does_what_it_is_given_and_a_failure_does_not_end_that() -> None:
    calls: Queue[str] = Queue()

    def reload() -> None:
        calls.put("reload")
        raise OSError("no such file")

    with on_signals({signal.SIGHUP: reload}):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            assert calls.get(timeout=PATIENCE) == "reload"


def test_a_thread_without_signals_can_run_all_the_same() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: Queue[object] = Queue()

    def work() -> None:
        with stops_on_signals(Run(), 10.0) as stopping:
            seen.put(stopping.is_set())

    Thread(target=work).start()
    assert seen.get(timeout=PATIENCE) is False
    assert signal.getsignal(signal.SIGTERM) is before
