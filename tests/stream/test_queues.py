from __future__ import annotations

from dataclasses import replace
from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.stream.counters import NEWER_FRAME
from msflow_stream.stream.queues import BoundedQueue, FrameQueue, NewestFrame, TooLargeError
from msflow_stream.types import Earlier
from tests.stream.scripted import PATIENCE, SimulatedClock, frame


def got(queue: FrameQueue) -> int | None:
    waiting = queue.get()
    return None if waiting is None else waiting.frame.index


@given(st.lists(st.booleans(), max_size=40))
def test_a_live_queue_gives_the_newest_frame_once_and_counts_the_others(puts: list[bool]) -> None:
    newest_frame, newest, put, lost = NewestFrame(), None, 0, 0
    for is_put in puts:
        if is_put:
            lost += newest is not None
            newest, put = put, put + 1
            assert newest_frame.put(frame("gate", newest))
        else:
            assert got(newest_frame) == newest
            newest = None
    counts = newest_frame.counter.counts()
    assert counts.taken == put
    assert counts.dropped == ({NEWER_FRAME: lost} if lost else {})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 4), st.integers(3, 60))
def test_a_queue_loses_nothing_and_keeps_the_order(pixels: list[int], frames: int, nbytes: int) -> None:
    queue, came = BoundedQueue(frames, nbytes), Event()
    queue.arrived = came.set
    indices: list[int] = []

    def consume() -> None:
        while not queue.ended:
            came.wait(PATIENCE)
            came.clear()
            while (index := got(queue)) is not None:
                indices.append(index)

    consumer = Thread(target=consume)
    consumer.start()
    for index, size in enumerate(pixels):
        assert queue.put(frame("gate", index, 3 * size))
    queue.close()
    consumer.join(PATIENCE)
    assert indices == list(range(len(pixels)))
    assert queue.counter.counts().dropped == {}


@pytest.mark.parametrize(("frames", "nbytes"), [(2, 1000), (1000, 8)])  # a frame has 3 bytes
def test_a_full_queue_makes_its_source_wait(frames: int, nbytes: int) -> None:
    queue, third, done = BoundedQueue(frames, nbytes), frame("gate", 2), Event()
    queue.put(frame("gate", 0))
    queue.put(frame("gate", 1))
    source = Thread(target=lambda: queue.put(third) and done.set())
    source.start()
    assert not done.wait(0.05)
    assert got(queue) == 0
    assert done.wait(PATIENCE)
    source.join(PATIENCE)
    assert [got(queue), got(queue)] == [1, 2]


def test_the_moment_before_a_frame_counts_as_part_of_its_size() -> None:
    queue = BoundedQueue(5, 1000)
    queue.put(replace(frame("gate", 0, 300), earlier=Earlier(np.zeros((10, 20), np.uint8), 0.08)))
    with pytest.raises(TooLargeError):
        queue.get(499)
    waiting = queue.get(500)
    assert waiting is not None


def test_a_frame_larger_than_the_queue_waits_alone() -> None:
    queue = BoundedQueue(5, 10)
    assert queue.put(frame("gate", 0, 300))
    assert got(queue) == 0


@pytest.mark.parametrize("close", [BoundedQueue.close, lambda queue: queue.discard("weather")])
def test_closing_frees_a_source_that_waits_and_does_not_take_its_frame(close: object) -> None:
    queue, answers = BoundedQueue(1, 1000), []
    queue.put(frame("gate", 0))
    source = Thread(target=lambda: answers.append(queue.put(frame("gate", 1))))
    source.start()
    assert callable(close)
    close(queue)
    source.join(PATIENCE)
    assert answers == [False]
    assert queue.counter.counts().taken == 1


@pytest.mark.parametrize("queue", [NewestFrame(), BoundedQueue(3, 100)])
def test_what_waits_when_a_queue_is_closed_can_still_be_got(queue: FrameQueue) -> None:
    queue.put(frame("gate", 0))
    queue.close()
    assert not queue.put(frame("gate", 1))
    assert not queue.ended
    assert got(queue) == 0
    assert queue.ended


def test_what_is_discarded_is_counted() -> None:
    queue = BoundedQueue(3, 100)
    queue.put(frame("gate", 0))
    queue.put(frame("gate", 1))
    queue.discard("weather")
    assert queue.ended
    assert queue.counter.counts().dropped == {"weather": 2}


def test_an_error_after_the_end_is_not_the_sources() -> None:
    failed, interrupted = NewestFrame(), NewestFrame()
    error = OSError("camera gone")
    failed.close(error)
    failed.close()
    interrupted.close()
    interrupted.close(error)
    assert failed.error is error
    assert interrupted.error is None


def test_a_frame_for_which_there_is_no_room_stays() -> None:
    queue = BoundedQueue(3, 100)
    queue.put(frame("gate", 0, 30))
    with pytest.raises(TooLargeError):
        queue.get(max_bytes=29)
    assert got(queue) == 0


def test_a_frame_knows_since_when_it_waits() -> None:
    clock = SimulatedClock()
    newest_frame = NewestFrame(clock)
    clock.advance_to(4.0)
    newest_frame.put(frame("gate", 0))
    clock.advance_to(9.0)
    waiting = newest_frame.get()
    assert waiting is not None
    assert waiting.since == 4.0


def test_a_queue_needs_room() -> None:
    with pytest.raises(ValueError, match="at least one"):
        BoundedQueue(0, 10)
