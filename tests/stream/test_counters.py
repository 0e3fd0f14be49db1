from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.stream.counters import LATENCY_BOUNDS, Counters, SourceCounter, Stopwatch

seconds = st.one_of(st.sampled_from(LATENCY_BOUNDS), st.floats(0, 20))


@given(st.lists(seconds, max_size=30))
def test_a_latency_counts_how_often_a_stage_took_at_most_each_bound(times: list[float]) -> None:
    stopwatch = Stopwatch()
    for time in times:
        stopwatch.add(time)
    latency = stopwatch.latency()
    assert latency.count == len(times)
    assert abs(latency.seconds - sum(times)) <= 1e-9 * sum(times)
    assert latency.at_most == tuple(sum(time <= bound for time in times) for bound in LATENCY_BOUNDS)


def test_what_is_neither_delivered_nor_dropped_is_in_flight() -> None:
    counter = SourceCounter()
    for _ in range(5):
        counter.add_taken()
    counter.add_delivered()
    counter.add_dropped("weather", 2)
    counter.add_dropped("theft")
    counts = counter.counts()
    assert counts.dropped == {"weather": 2, "theft": 1}
    assert counts.in_flight == 1


def test_a_snapshot_does_not_change() -> None:
    counters = Counters()
    counters.source("gate").add_taken()
    counters.add_batch(3)
    before = counters.snapshot()
    counters.source("gate").add_taken()
    counters.source("gate").add_dropped("weather")
    counters.source("yard").add_taken()
    counters.add_batch(3)
    assert (before.sources["gate"].taken, dict(before.sources["gate"].dropped)) == (1, {})
    assert (set(before.sources), before.batches) == ({"gate"}, {3: 1})
    assert counters.snapshot().batches == {3: 2}
