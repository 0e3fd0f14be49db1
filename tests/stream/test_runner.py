from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.stream.contract import Limits
from msflow_stream.stream.counters import ABORTED, NEWER_FRAME
from msflow_stream.stream.runner import StreamRunner
from msflow_stream.types import Frame, FrameScore
from tests.stream.scripted import PATIENCE, Callbacks, Camera, Gate, ManualClock, frame, frame_score, in_time

LIMITS = Limits(batch=3, wait=0.0, queue_frames=2)
NAMES = ("north", "south", "east")
GATES = [*NAMES, "score", "deliver"]
FRAMES = st.lists(st.integers(1, 3), max_size=8)  # steps from index to index
interleavings = settings(max_examples=40, deadline=None)


def runner_of(callbacks: Callbacks, limits: Limits = LIMITS, clock: ManualClock | None = None) -> StreamRunner:
    return StreamRunner(callbacks.score, callbacks.deliver, callbacks.ended, limits, clock)


class Play:
    """Up to three sources, a scorer or two and a deliverer, each of which goes on when the script says so."""

    def __init__(self, steps: dict[str, list[int]], live: set[str], scorers: int) -> None:
        self.indices = {name: [sum(gaps[: n + 1]) for n in range(len(gaps))] for name, gaps in steps.items()}
        self.live = live
        self.cameras = {name: Camera(name, indices, Gate(opened=False)) for name, indices in self.indices.items()}
        self.callbacks = Callbacks(Gate(opened=False), Gate(opened=False))
        self.gates = {name: camera.gate for name, camera in self.cameras.items()}
        self.gates |= {"score": self.callbacks.scoring, "deliver": self.callbacks.delivering}
        self.runner = runner_of(self.callbacks, replace(LIMITS, scorers=scorers), ManualClock())

    def perform(self, script: list[str], then: str) -> None:
        with self.runner:
            for name, camera in self.cameras.items():
                assert self.runner.add(name, camera, name in self.live, camera.interrupt)
            for step in script:
                if step in self.gates:
                    self.gates[step].let()
            if then == "stop":
                self.runner.stop(10.0)
            elif then == "abort":
                self.runner.abort()
            else:
                self.runner.finish()
            for gate in self.gates.values():
                gate.open()
            in_time(self.runner.join)


plays = st.builds(
    Play,
    st.dictionaries(st.sampled_from(NAMES), FRAMES, min_size=1),
    st.sets(st.sampled_from(NAMES), max_size=3),
    st.integers(1, 2),
)
scripts = st.lists(st.sampled_from(GATES), max_size=30)


def test_two_scorers_work_at_a_time_and_deliver_in_order() -> None:
    """The second batch is scored while the first one still is; it waits for it then."""
    first, second = Event(), Event()
    delivered: list[int] = []

    def score(batch: Sequence[tuple[str, Frame]]) -> list[FrameScore]:
        if batch[0][1].index == 0:
            first.set()
            assert second.wait(PATIENCE)
        elif batch[0][1].index == 1:
            second.set()
            assert first.wait(PATIENCE)
        return [frame_score(*one) for one in batch]

    limits = replace(LIMITS, batch=1, scorers=2)
    deliver, ended = (lambda _, frame, __: delivered.append(frame.index)), (lambda *_: None)
    with StreamRunner(score, deliver, ended, limits) as runner:
        runner.add("north", (frame("north", index) for index in range(7)))
    assert delivered == list(range(7))


@interleavings
@given(plays, scripts)
def test_files_lose_nothing_and_live_sources_only_what_a_newer_frame_replaced(play: Play, script: list[str]) -> None:
    play.perform(script, "finish")
    for name, indices in play.indices.items():
        *delivered, end = play.callbacks.of(name)
        counts = play.runner.snapshot().sources[name]
        assert end is None
        if name in play.live:
            assert delivered == sorted(set(delivered) & set(indices))
            assert delivered[-1:] == indices[-1:]
            assert len(delivered) + counts.dropped.get(NEWER_FRAME, 0) == len(indices)
        else:
            assert delivered == indices
        assert (counts.taken, counts.delivered, counts.scored) == (len(indices), len(delivered), len(delivered))
        assert set(counts.dropped) <= {NEWER_FRAME}


@interleavings
@given(plays, scripts)
def test_batches_are_bounded_and_counted(play: Play, script: list[str]) -> None:
    play.perform(script, "finish")
    sizes = [len(batch) for batch in play.callbacks.batches]
    snapshot = play.runner.snapshot()
    assert all(1 <= size <= LIMITS.batch for size in sizes)
    assert snapshot.batches == {size: sizes.count(size) for size in sizes}
    assert snapshot.scoring.count == len(sizes)
    assert snapshot.waiting.count == snapshot.delivering.count == sum(sizes)


@interleavings
@given(plays, scripts)
def test_a_stopped_run_delivers_every_frame_that_came_in(play: Play, script: list[str]) -> None:
    play.perform(script, "stop")
    for name, indices in play.indices.items():
        *delivered, end = play.callbacks.of(name)
        counts = play.runner.snapshot().sources[name]
        assert end is None
        assert delivered == [index for index in indices if index in delivered]
        assert set(counts.dropped) <= {NEWER_FRAME}
        assert counts.taken == len(delivered) + counts.dropped.get(NEWER_FRAME, 0)
        assert delivered == indices[: counts.taken] or name in play.live


@interleavings
@given(plays, scripts)
def test_an_aborted_run_accounts_for_every_frame_that_came_in(play: Play, script: list[str]) -> None:
    play.perform(script, "abort")
    for name, indices in play.indices.items():
        delivered = [what for what in play.callbacks.of(name) if what is not None]
        counts = play.runner.snapshot().sources[name]
        assert delivered == [index for index in indices if index in delivered]
        assert (
            play.callbacks.of(name) == delivered or ABORTED not in counts.dropped
        )  # no end is told of what is cut short
        assert set(counts.dropped) <= {NEWER_FRAME, ABORTED}
        assert (counts.in_flight, counts.delivered) == (0, len(delivered))


def test_a_source_that_hangs_does_not_hold_up_the_others() -> None:
    callbacks, stuck = Callbacks(), Camera("north", range(3), Gate(opened=False))
    with runner_of(callbacks) as runner:
        runner.add("north", stuck)
        runner.add("south", Camera("south", range(50)))
        callbacks.wait_for_end("south")
        assert callbacks.of("north") == []
        stuck.gate.open()
    assert callbacks.of("north") == [0, 1, 2, None]


def test_a_live_source_that_floods_does_not_keep_a_file_from_ending() -> None:
    callbacks, flooding = Callbacks(), True

    def flood() -> object:
        index = 0
        while flooding:
            yield index
            index += 1

    with runner_of(callbacks) as runner:
        runner.add("north", Camera("north", flood()), live=True)  # type: ignore[arg-type]
        runner.add("south", Camera("south", range(50)))
        callbacks.wait_for_end("south")
        flooding = False
    assert callbacks.of("south") == [*range(50), None]


def test_sources_come_and_go_while_it_runs() -> None:
    callbacks = Callbacks()
    north = Camera("north", range(10**9), Gate(opened=False))
    with runner_of(callbacks) as runner:
        runner.add("north", north, interrupt=north.interrupt)
        north.gate.let(2)
        north.gate.arrived(3)
        runner.add("south", Camera("south", range(3)))
        callbacks.wait_for_end("south")
        assert runner.sources == ["north"]
        runner.remove("north")
        callbacks.wait_for_end("north")
        assert runner.sources == []
    assert callbacks.of("north") == [0, 1, None]
    assert callbacks.of("south") == [0, 1, 2, None]
    assert north.closed.is_set()


def test_a_source_may_come_back_when_it_has_ended_and_its_counters_go_on() -> None:
    callbacks, times = Callbacks(), 0

    def again(source: str, error: Exception | None) -> None:
        nonlocal times
        times += 1
        if times < 3:
            assert runner.add(source, Camera(source, range(4)))
        else:
            runner.finish()

    callbacks.on_end = again
    with runner_of(callbacks) as runner:
        runner.add("north", Camera("north", range(4)))
        in_time(runner.join)
    assert callbacks.of("north") == [0, 1, 2, 3, None] * 3
    assert runner.snapshot().sources["north"].delivered == 12


def test_a_name_is_taken_while_its_source_runs_and_a_run_that_ends_takes_no_more() -> None:
    callbacks, gate = Callbacks(), Gate(opened=False)
    with runner_of(callbacks) as runner:
        runner.add("north", Camera("north", range(2), gate))
        with pytest.raises(ValueError, match="north is running"):
            runner.add("north", Camera("north", range(2)))
        runner.finish()
        assert not runner.add("south", Camera("south", range(2)))
        gate.open()
    assert callbacks.log == [("north", 0), ("north", 1), ("north", None)]


def test_a_batch_is_scored_while_the_one_before_is_delivered() -> None:
    callbacks = Callbacks(scoring=Gate(), delivering=Gate(opened=False))
    with runner_of(callbacks, Limits(batch=1)) as runner:
        runner.add("north", Camera("north", range(5)))
        callbacks.delivering.arrived()
        callbacks.scoring.arrived(3)  # one is delivered, one handed over, one held: no more are scored
        assert callbacks.log == []
        callbacks.delivering.open()
    assert callbacks.of("north") == [0, 1, 2, 3, 4, None]


def test_the_time_of_each_stage_is_measured_on_the_clock() -> None:
    clock, callbacks = ManualClock(), Callbacks(Gate(opened=False), Gate(opened=False))
    with runner_of(callbacks, clock=clock) as runner:
        runner.add("north", Camera("north", [7]))
        callbacks.scoring.arrived()
        clock.advance(2.0)
        callbacks.scoring.open()
        callbacks.delivering.arrived()
        clock.advance(0.3)
        callbacks.delivering.open()
    snapshot = runner.snapshot()
    assert (snapshot.scoring.count, snapshot.scoring.seconds) == (1, 2.0)
    assert snapshot.delivering.seconds == pytest.approx(0.3)
    assert snapshot.scoring.at_most == (0,) * 10 + (1, 1, 1)  # 2.5, 5 and 10 seconds


def test_an_incomplete_batch_waits_for_other_sources() -> None:
    callbacks, early, late = Callbacks(), Camera("north", [0]), Camera("south", [0], Gate(opened=False))
    with runner_of(callbacks, Limits(batch=2, wait=1.0), ManualClock()) as runner:
        runner.add("south", late)
        runner.add("north", early)
        assert early.closed.wait(PATIENCE)
        late.gate.open()
    assert sorted(callbacks.batches[0]) == [("north", 0), ("south", 0)]


def test_run_scores_the_sources_to_their_ends() -> None:
    callbacks = Callbacks()
    runner = runner_of(callbacks)
    runner.add("north", Camera("north", range(9)))
    in_time(runner.run)
    assert callbacks.of("north") == [*range(9), None]


@given(st.lists(st.sets(st.integers(0, 30)).map(sorted), min_size=1, max_size=3), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_frames_that_are_not_sampled_travel_along_in_order_and_are_not_scored(
    sources: list[list[int]], every: int
) -> None:
    callbacks = Callbacks()
    with runner_of(callbacks) as runner:
        for name, indices in zip(NAMES, sources, strict=False):
            runner.add(name, Camera(name, indices), sampled=lambda frame: frame.index % every == 0)
    for name, indices in zip(NAMES, sources, strict=False):
        assert callbacks.of(name) == [*indices, None]
        scored = [index for batch in callbacks.batches for source, index in batch if source == name]
        assert scored == [index for index in indices if index % every == 0]
        assert runner.snapshot().sources[name].scored == len(scored)
    assert callbacks.unscored == {
        (name, i) for name, indices in zip(NAMES, sources, strict=False) for i in indices if i % every
    }
    assert all(1 <= len(batch) <= LIMITS.batch for batch in callbacks.batches)


def test_a_source_with_a_thread_of_its_own_puts_frames_in_and_closes() -> None:
    callbacks, interrupted = Callbacks(Gate(opened=False)), Event()
    with runner_of(callbacks) as runner:
        camera = runner.attach("gate", interrupted.set)
        assert camera is not None
        for index in (0, 5):
            assert camera.put(frame("gate", index))
            callbacks.scoring.arrived() if index == 0 else None
        assert camera.put(frame("gate", 10))  # in place of the one before, which nobody took yet
        with pytest.raises(ValueError, match="frame 10 comes after frame 10"):
            camera.put(frame("gate", 10))
        lost = RuntimeError("lost")
        camera.close(lost)
        assert not camera.put(frame("gate", 15))
        callbacks.scoring.open()
        callbacks.wait_for_end("gate")
        assert not interrupted.is_set()
    assert callbacks.of("gate") == [0, 10, lost]
    counts = runner.snapshot().sources["gate"]
    assert (counts.delivered, counts.dropped) == (2, {NEWER_FRAME: 1})
    assert runner.attach("late") is None


def test_an_attached_source_is_asked_to_end_when_it_is_removed_and_when_the_run_stops() -> None:
    callbacks, north, south = Callbacks(), Event(), Event()
    with runner_of(callbacks) as runner:
        runner.attach("north", north.set)
        runner.attach("south", south.set)
        runner.remove("north")
        callbacks.wait_for_end("north")
        assert north.is_set()
        assert not south.is_set()
        runner.stop(5.0)
    assert south.is_set()
    assert callbacks.log == [("north", None), ("south", None)]
