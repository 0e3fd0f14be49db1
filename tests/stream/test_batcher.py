from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.stream.batcher import Batch, Batcher
from msflow_stream.stream.counters import STOPPED
from msflow_stream.stream.queues import BoundedQueue, NewestFrame
from tests.stream.scripted import SimulatedClock, frame

SOURCES = "abc"


@dataclass(frozen=True)
class Arrival:
    gap: int  # seconds after the arrival before
    source: str
    pixels: int


arrivals = st.lists(
    st.builds(Arrival, st.sampled_from([0, 0, 1, 2, 5]), st.sampled_from(SOURCES), st.integers(1, 9)), max_size=30
)
sizes, waits = st.integers(1, 6), st.sampled_from([0, 1, 3])


def played(
    script: list[Arrival], size: int, nbytes: int, wait: float, busy: float, live: bool = False
) -> tuple[list[tuple[float, float, Batch]], list[float]]:
    """Batches with when they were asked for and handed out, and the arrival times; `busy` seconds lie between."""
    clock = SimulatedClock()
    batcher = Batcher(size, nbytes, wait, clock)
    queues = {name: NewestFrame(clock) if live else BoundedQueue(100, 10**6, clock) for name in SOURCES}
    time, times = 0.0, []
    for index, arrival in enumerate(script):
        time += arrival.gap
        times.append(time)
        picture = frame(arrival.source, index, 3 * arrival.pixels)
        clock.at(time, lambda queue=queues[arrival.source], picture=picture: queue.put(picture))
    for name, queue in queues.items():
        batcher.add(name, queue)
        clock.at(time + 1, queue.close)
    batcher.finish()
    batches = []
    asked = clock.now()
    while (batch := batcher.get()) is not None:
        batches.append((asked, clock.now(), batch))
        clock.advance_to(clock.now() + busy)
        asked = clock.now()
    return batches, times


@given(arrivals, sizes, st.integers(3, 60), waits, waits)
def test_nothing_is_lost_each_source_is_in_order_and_ends_once_after_its_last_frame(
    script: list[Arrival], size: int, nbytes: int, wait: float, busy: float
) -> None:
    came: dict[str, list[int]] = defaultdict(list)
    ended: list[str] = []
    for _, _, batch in played(script, size, nbytes, wait, busy)[0]:
        assert batch.frames or batch.ended
        for taken in batch.frames:
            assert taken.source not in ended
            came[taken.source].append(taken.frame.index)
        ended.extend(batch.ended)
    assert sorted(ended) == sorted(SOURCES)
    assert came == {
        name: indices for name in SOURCES if (indices := [i for i, a in enumerate(script) if a.source == name])
    }


@given(arrivals, sizes, st.integers(3, 60), waits, waits)
def test_batches_are_bounded_in_frames_and_bytes(
    script: list[Arrival], size: int, nbytes: int, wait: float, busy: float
) -> None:
    for _, _, batch in played(script, size, nbytes, wait, busy)[0]:
        assert len(batch.frames) <= size
        assert len(batch.frames) <= 1 or sum(taken.frame.image.nbytes for taken in batch.frames) <= nbytes


@given(arrivals, sizes, waits, waits)
def test_a_batch_waits_until_it_is_full_or_its_first_frame_has_waited_or_the_end(
    script: list[Arrival], size: int, wait: float, busy: float
) -> None:
    batches, times = played(script, size, 10**6, wait, busy)
    end = (times[-1] if times else 0.0) + 1
    for asked, handed_out, batch in batches:
        if batch.frames:
            first = max(asked, min(times[taken.frame.index] for taken in batch.frames))  # when it was held
            assert handed_out <= first + wait
            assert len(batch.frames) == size or handed_out == first + wait or handed_out >= end


@given(arrivals, sizes, waits, waits)
def test_the_time_in_the_queue_is_told(script: list[Arrival], size: int, wait: float, busy: float) -> None:
    batches, times = played(script, size, 10**6, wait, busy)
    for asked, _, batch in batches:
        for taken in batch.frames:
            assert taken.waited == max(0.0, asked - times[taken.frame.index])


@given(arrivals, sizes, waits, waits)
def test_of_live_sources_every_frame_is_taken_or_counted(
    script: list[Arrival], size: int, wait: float, busy: float
) -> None:
    came: Counter[str] = Counter()
    counters = {}
    for _, _, batch in played(script, size, 10**6, wait, busy, live=True)[0]:
        for taken in batch.frames:
            came[taken.source] += 1
            counters[taken.source] = taken.counter.counts()
    for name, counts in counters.items():
        put = sum(arrival.source == name for arrival in script)
        assert (counts.taken, came[name] + sum(counts.dropped.values())) == (put, put)


@given(st.integers(1, 7), st.integers(1, 5), st.data())
def test_sources_that_all_have_frames_take_turns(sources: int, size: int, data: st.DataObject) -> None:
    clock = SimulatedClock()
    batcher = Batcher(size, 10**6, 0, clock)
    backlog = {f"s{n}": data.draw(st.integers(1, 12)) for n in range(sources)}
    for name, frames in backlog.items():
        queue = BoundedQueue(100, 10**6, clock)
        for index in range(frames):
            queue.put(frame(name, index))
        queue.close()
        batcher.add(name, queue)
    batcher.finish()
    order = []
    while (batch := batcher.get()) is not None:
        order.extend(taken.source for taken in batch.frames)
    for name in backlog:
        for before, after in pairwise([n for n, source in enumerate(order) if source == name]):
            others = Counter(order[before + 1 : after])
            assert all(turns == 1 for turns in others.values())  # nobody else comes twice meanwhile


def test_a_large_frame_is_not_passed_over_for_ever() -> None:
    clock = SimulatedClock()
    batcher = Batcher(10, 30, 0, clock)
    small, large = BoundedQueue(100, 10**6, clock), BoundedQueue(100, 10**6, clock)
    for index in range(20):
        small.put(frame("small", index))
    large.put(frame("large", 0, 30))
    batcher.add("small", small)
    batcher.add("large", large)
    batches = [batcher.get(), batcher.get()]
    assert [[taken.source for taken in batch.frames] for batch in batches if batch] == [["small"], ["large"]]


def test_what_waits_when_the_time_for_draining_is_up_is_dropped() -> None:
    clock = SimulatedClock()
    batcher, queue = Batcher(2, 10**6, 0, clock), BoundedQueue(100, 10**6, clock)
    for index in range(5):
        queue.put(frame("gate", index))
    batcher.add("gate", queue)
    queue.close()
    batcher.finish(drain_until=8.0)
    first = batcher.get()
    assert first is not None
    assert len(first.frames) == 2
    clock.advance_to(8.0)
    last = batcher.get()
    assert last is not None
    assert (last.frames, last.ended) == ([], ["gate"])
    assert batcher.get() is None
    assert queue.counter.counts().dropped == {STOPPED: 3}


def test_halting_drops_what_waits_and_what_is_held() -> None:
    clock = SimulatedClock()
    batcher, ending, going = Batcher(5, 10**6, 10.0, clock), BoundedQueue(9, 100, clock), BoundedQueue(9, 100, clock)
    batcher.add("ending", ending)
    batcher.add("going", going)
    ending.put(frame("ending", 0))
    ending.close()
    clock.at(1.0, lambda: going.put(frame("going", 0)))  # held, while there is room for more
    clock.at(2.0, lambda: batcher.halt("storm"))
    assert batcher.get() is None
    assert not going.put(frame("going", 1))
    assert [queue.counter.counts().dropped for queue in (ending, going)] == [{"storm": 1}, {"storm": 1}]


@pytest.mark.parametrize("bad", [(0, 1, 0.0), (1, 0, 0.0), (1, 1, -1.0)])
def test_bounds_must_make_sense(bad: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        Batcher(*bad, SimulatedClock())
