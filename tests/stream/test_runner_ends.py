"""How a run ends: by an error of a source, of a stage, by stop and by abort."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from msflow_stream.stream.contract import Limits, SourceError
from msflow_stream.stream.counters import ABORTED, RUN_FAILED, SOURCE_FAILED, STOPPED
from msflow_stream.stream.runner import StreamRunner
from msflow_stream.types import Frame
from tests.stream.scripted import PATIENCE, Callbacks, Camera, Gate, ManualClock, frame, in_time, join_left_behind

LIMITS = Limits(batch=2, wait=0.0, queue_frames=2, grace=30.0)
IMPATIENT = Limits(batch=2, wait=0.0, queue_frames=2, grace=0.05)
BOOM = RuntimeError("out of memory")


def runner_of(callbacks: Callbacks, limits: Limits = LIMITS, clock: ManualClock | None = None) -> StreamRunner:
    return StreamRunner(callbacks.score, callbacks.deliver, callbacks.ended, limits, clock)


def run(runner: StreamRunner, *cameras: Camera) -> None:
    """Until all end or the run does, however the sources hang."""

    def run_them() -> None:
        with runner:
            for camera in cameras:
                runner.add(camera.name, camera, interrupt=camera.interrupt)
            runner.finish()
            runner.join()

    in_time(run_them)


def fails_at(name: str, index: int, error: BaseException) -> Callable[[str, Frame], BaseException | None]:
    return lambda source, frame: error if (source, frame.index) == (name, index) else None


def of_source(name: str) -> SourceError:
    error = SourceError(name, "broken")
    error.__cause__ = BOOM
    return error


def test_a_source_that_fails_is_reported_after_its_frames_and_disturbs_no_other() -> None:
    callbacks, error = Callbacks(), OSError("camera gone")
    with runner_of(callbacks) as runner:
        runner.add("north", Camera("north", range(3), error=error))
        runner.add("south", Camera("south", range(20)))
    assert callbacks.of("north") == [0, 1, 2, error]
    assert callbacks.of("south") == [*range(20), None]


def test_a_source_that_cannot_be_opened_is_reported() -> None:
    callbacks, error = Callbacks(), OSError("no such camera")

    def opening() -> Iterator[Frame]:
        raise error
        yield

    with runner_of(callbacks) as runner:
        runner.add("north", opening())
    assert callbacks.log == [("north", error)]


def test_a_source_whose_indices_go_back_has_failed() -> None:
    callbacks = Callbacks()
    with runner_of(callbacks) as runner:
        runner.add("north", Camera("north", [0, 5, 5]))
    *delivered, error = callbacks.of("north")
    assert delivered == [0, 5]
    assert "frame 5 comes after frame 5" in str(error)


@pytest.mark.parametrize("stage", ["score", "deliver"])
def test_an_error_in_a_stage_that_is_a_sources_ends_that_source_only(stage: str) -> None:
    callbacks = Callbacks()
    if stage == "score":
        callbacks.score_error = lambda batch: (
            of_source("north") if ("north", 3) in [(s, f.index) for s, f in batch] else None
        )
    else:
        callbacks.deliver_error = fails_at("north", 3, of_source("north"))
    north = Camera("north", range(10**9))
    with runner_of(callbacks) as runner:
        runner.add("north", north, interrupt=north.interrupt)
        runner.add("south", Camera("south", range(20)))
    *delivered, error = callbacks.of("north")
    assert delivered == list(range(len(delivered)))
    assert len(delivered) <= 3  # those on their way when the source fails are dropped
    assert error is BOOM
    assert callbacks.of("south") == [*range(20), None]
    counts = runner.snapshot().sources["north"]
    assert counts.dropped == {SOURCE_FAILED: counts.taken - len(delivered)}


def test_an_error_of_a_source_after_its_last_frame_was_handed_out_is_reported_too() -> None:
    callbacks = Callbacks()
    callbacks.deliver_error = fails_at("north", 0, of_source("north"))
    with runner_of(callbacks) as runner:
        runner.add("north", Camera("north", [0]))
    assert callbacks.log == [("north", BOOM)]


def make_fail(callbacks: Callbacks, stage: str, error: BaseException) -> None:
    def end(source: str, reason: Exception | None) -> None:
        raise error

    if stage == "score":
        callbacks.score_error = lambda batch: error if any(f.index == 3 for _, f in batch) else None
    elif stage == "deliver":
        callbacks.deliver_error = fails_at("south", 3, error)
    else:
        callbacks.on_end = end


@pytest.mark.parametrize("stage", ["score", "deliver", "ended"])
@pytest.mark.parametrize("error", [BOOM, SystemExit(3), SourceError("west", "of no source here")], ids=repr)
def test_an_error_in_a_stage_ends_the_run_and_comes_through(stage: str, error: BaseException) -> None:
    callbacks = Callbacks()
    make_fail(callbacks, stage, error)
    waiting = Camera("north", range(10**9), Gate(opened=False))  # waits for its camera
    blocked = Camera("east", range(10**9))  # mostly waits for room in its queue
    runner = runner_of(callbacks)
    with pytest.raises(type(error)) as raised:
        run(runner, waiting, blocked, Camera("south", range(20)))
    assert raised.value is error
    assert waiting.closed.is_set()
    assert blocked.closed.is_set()
    assert not runner.add("west", Camera("west", [0]))
    for counts in runner.snapshot().sources.values():
        assert set(counts.dropped) <= {RUN_FAILED}
        assert counts.in_flight == 0


def test_a_scorer_that_loses_a_frame_ends_the_run() -> None:
    callbacks = Callbacks()
    runner = StreamRunner(
        lambda batch: callbacks.score(batch)[:1], callbacks.deliver, callbacks.ended, Limits(batch=2, wait=PATIENCE)
    )
    with pytest.raises(RuntimeError, match="1 scores for a batch of 2 frames"):
        run(runner, Camera("north", [0, 1]))


def test_a_sources_own_non_error_ends_the_run() -> None:
    def quitting() -> Iterator[Frame]:
        yield frame("north", 0)
        raise SystemExit(4)

    runner = runner_of(Callbacks())
    runner.add("north", quitting())
    with pytest.raises(SystemExit):
        run(runner)


def test_a_failed_run_does_not_wait_for_a_source_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    callbacks, hanging = Callbacks(), Camera("north", range(2), Gate(opened=False))
    callbacks.score_error = lambda batch: BOOM
    runner = runner_of(callbacks, IMPATIENT)
    runner.add("north", hanging)  # which cannot be interrupted
    with pytest.raises(RuntimeError) as raised:
        run(runner, Camera("south", range(5)))
    assert raised.value is BOOM
    assert "gave up waiting for: read north" in caplog.text
    hanging.gate.open()
    join_left_behind()


def test_an_error_in_the_body_aborts_the_run_and_comes_through() -> None:
    callbacks, endless = Callbacks(), Camera("north", range(10**9))

    def fail_meanwhile() -> None:
        with runner_of(callbacks) as runner:
            runner.add("north", endless)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        in_time(fail_meanwhile)
    assert endless.closed.is_set()
    assert ("north", None) not in callbacks.log


def test_an_interrupt_that_fails_does_not_keep_a_run_from_ending() -> None:
    def broken() -> None:
        raise OSError("already closed")

    callbacks = Callbacks()
    with runner_of(callbacks) as runner:
        runner.add("north", Camera("north", range(10**9)), interrupt=broken)
        runner.stop(10.0)
        in_time(runner.join)
    assert callbacks.log[-1] == ("north", None)


def test_stop_under_load_delivers_what_was_in_flight() -> None:
    callbacks = Callbacks(Gate(opened=False), Gate(opened=False))
    with runner_of(callbacks, clock=ManualClock()) as runner:
        for name in ("north", "south"):
            runner.add(name, Camera(name, range(10**9)))
        callbacks.scoring.let(2)
        callbacks.scoring.arrived(3)  # two batches are scored and not delivered, one is being scored
        runner.stop(10.0)
        callbacks.scoring.open()
        callbacks.delivering.open()
        in_time(runner.join)
    for name in ("north", "south"):
        *delivered, end = callbacks.of(name)
        counts = runner.snapshot().sources[name]
        assert end is None
        assert delivered == list(range(counts.taken))
        assert counts.dropped == {}
    assert len(callbacks.log) >= 3 + 2  # a frame of each batch, two ends


def loaded(callbacks: Callbacks, runner: StreamRunner) -> None:
    """One batch of two is being scored, two frames wait in the queue, a fifth waits to come in."""
    gate = Gate(opened=False)
    runner.add("north", Camera("north", range(10**9), gate))
    gate.let(1)
    callbacks.scoring.arrived()
    gate.let(3)
    gate.arrived(5)  # asked for the fifth: the four before are in
    gate.open()


def test_frames_that_wait_when_half_of_the_time_is_up_are_dropped_and_counted() -> None:
    clock, callbacks = ManualClock(), Callbacks(Gate(opened=False))
    with runner_of(callbacks, Limits(batch=2, wait=0.0, queue_frames=3), clock) as runner:
        loaded(callbacks, runner)
        runner.stop(10.0)
        clock.advance(5.0)
        callbacks.scoring.open()
        in_time(runner.join)
    counts = runner.snapshot().sources["north"]
    assert callbacks.log == [("north", 0), ("north", None)]
    assert counts.dropped == {STOPPED: counts.taken - 1}
    assert counts.taken >= 4


@pytest.mark.parametrize("stage", ["score", "deliver"])
def test_a_stage_that_hangs_does_not_keep_a_stopped_run_beyond_its_time(
    stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock, hanging = ManualClock(), Gate(opened=False)
    callbacks = Callbacks(scoring=hanging) if stage == "score" else Callbacks(delivering=hanging)
    with runner_of(callbacks, Limits(wait=0.0, grace=1.0), clock) as runner:
        runner.add("north", Camera("north", range(10**9)))
        hanging.arrived()
        runner.stop(10.0)
        clock.advance(10.0)
        in_time(runner.join)
        assert f"gave up waiting for: {stage}" in caplog.text
        assert callbacks.log == []
        hanging.open()
        join_left_behind()
    counts = runner.snapshot().sources["north"]
    assert set(counts.dropped) <= {ABORTED, STOPPED}
    assert counts.in_flight == 0


@pytest.mark.parametrize("stage", ["score", "deliver"])
def test_abort_does_not_wait_for_what_is_in_flight(stage: str) -> None:
    hanging = Gate(opened=False)
    callbacks = Callbacks(scoring=hanging) if stage == "score" else Callbacks(delivering=hanging)
    with runner_of(callbacks, IMPATIENT) as runner:
        runner.add("north", Camera("north", range(10**9)))
        hanging.arrived()
        runner.stop(3600.0)
        runner.abort()
        in_time(runner.join)
        assert callbacks.log == []
        hanging.open()
        join_left_behind()
    counts = runner.snapshot().sources["north"]
    assert counts.in_flight == 0
    assert ("north", None) not in callbacks.log


def test_a_removed_source_that_hangs_does_not_keep_a_run_from_ending(caplog: pytest.LogCaptureFixture) -> None:
    callbacks, hanging = Callbacks(), Camera("north", range(2), Gate(opened=False))
    with runner_of(callbacks, IMPATIENT) as runner:
        runner.add("north", hanging)  # which cannot be interrupted
        hanging.gate.arrived()
        runner.remove("north")
        runner.finish()
        in_time(runner.join)
    assert callbacks.log == [("north", None)]
    assert "gave up waiting for: read north" in caplog.text
    hanging.gate.open()
    join_left_behind()


def test_no_end_is_told_after_an_abort() -> None:
    callbacks = Callbacks()
    with runner_of(callbacks, Limits(batch=2, wait=PATIENCE)) as runner:
        callbacks.deliver_error = lambda source, frame: runner.abort()
        runner.add("north", Camera("north", [0]))  # its end comes with its frame: the batch waits for another
        in_time(runner.join)
    assert callbacks.log == [("north", 0)]


def test_an_error_after_an_abort_is_not_the_runs() -> None:
    callbacks = Callbacks(Gate(opened=False))
    callbacks.score_error = lambda batch: BOOM
    with runner_of(callbacks, LIMITS) as runner:
        runner.add("north", Camera("north", [0]))
        callbacks.scoring.arrived()
        runner.abort()
        callbacks.scoring.open()
        in_time(runner.join)
    assert runner.snapshot().sources["north"].dropped == {ABORTED: 1}
