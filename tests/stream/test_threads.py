"""A queue with a thread: what waits, what is dropped, and how it ends; `ThreadedSink` has the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable

from msflow_stream.stream.threads import ThreadedQueue
from tests.stream.scripted import PATIENCE, Gate, in_time


class Output:
    """Notes what is written once the gate lets it through."""

    def __init__(self) -> None:
        self.gate, self.closed = Gate(opened=False), threading.Event()
        self.written: list[int] = []

    def write(self, item: int) -> None:
        self.gate()
        if item < 0:
            raise RuntimeError("a bug")
        self.written.append(item)

    def queue(self, capacity: int = 2, lossless: bool = False) -> ThreadedQueue[int]:
        return ThreadedQueue(self.write, self.closed.set, "gate evidence", capacity, lossless)


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_what_is_required_is_never_dropped_and_takes_no_room() -> None:
    output = Output()
    queue = output.queue()
    queue.put(0)
    output.gate.arrived()  # the thread is busy with it
    for item in range(1, 5):
        queue.put(item)
        queue.put(10 * item, required=True)
    output.gate.open()
    queue.close(PATIENCE)
    assert output.written == [0, 10, 20, 3, 30, 4, 40]
    assert queue.dropped == {"slow": 2, "bug": 0, "closed": 0}


def test_where_nothing_may_be_lost_a_full_queue_is_waited_for() -> None:
    output = Output()
    queue = output.queue(lossless=True)
    putting = in_background(lambda: [queue.put(item) for item in range(20)] and None)
    output.gate.arrived()
    putting.join(0.02)
    assert putting.is_alive()
    output.gate.open()
    putting.join(PATIENCE)
    queue.close(PATIENCE)
    assert output.written == list(range(20))
    assert not any(queue.dropped.values())


def test_who_waits_for_room_goes_on_when_the_writer_breaks() -> None:
    output = Output()
    queue = output.queue(lossless=True)
    putting = in_background(lambda: [queue.put(item) for item in (-1, 1, 2, 3, 4)] and None)
    output.gate.arrived()
    output.gate.open()
    putting.join(PATIENCE)
    assert output.closed.wait(PATIENCE)
    in_time(queue.close)
    assert (output.written, queue.dropped["bug"]) == ([], 5)


def test_what_is_required_is_written_even_when_the_end_comes_too_late() -> None:
    output = Output()
    queue = output.queue()
    queue.put(0)
    output.gate.arrived()
    queue.put(1)
    queue.put(2, required=True)
    queue.close(timeout=0.01)
    assert queue.dropped["slow"] == 1
    output.gate.open()
    in_time(queue.close)
    assert output.written == [0, 2]
