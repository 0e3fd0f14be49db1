"""A ThreadedSink keeps a slow, hanging or broken sink away from the camera."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

import pytest

from msflow_stream.types import Frame, FrameScore, ScoreRow
from msflow_stream.watch.outputs.sink import ThreadedSink
from tests.watch.outputs.scored import PATIENCE, eventually, many, scored


class Gated:
    """A sink that takes nothing until it is let, and notes what it took."""

    def __init__(self) -> None:
        self.gate, self.waiting = threading.Event(), threading.Event()
        self.taken: list[int] = []
        self.closed = 0

    @property
    def losses(self) -> Mapping[str, int]:
        return {"disk": 3}

    def write(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        self.waiting.set()
        assert self.gate.wait(PATIENCE)
        self.taken.append(frame.index)

    def close(self) -> None:
        self.closed += 1


class Broken(Gated):
    """A sink that fails at the third frame."""

    def write(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        super().write(frame, score, row)
        if frame.index == 2:
            raise RuntimeError("rtsp://me:hunter2-planted@host/live has a bug")


def test_everything_arrives_in_order_in_another_thread() -> None:
    sink = Gated()
    sink.gate.set()
    threaded = ThreadedSink(sink, capacity=100)
    for item in many(50):
        threaded.write(*item)
    threaded.close(PATIENCE)
    assert sink.taken == list(range(50))
    assert (sink.closed, threaded.losses["slow"]) == (1, 0)


def test_a_hanging_sink_delays_nobody_and_the_oldest_that_wait_are_dropped() -> None:
    sink = Gated()
    threaded = ThreadedSink(sink, capacity=4)
    threaded.write(*scored(0))
    assert sink.waiting.wait(PATIENCE)
    for item in many(20, 1):
        threaded.write(*item)  # comes back although the sink does not
    assert threaded.losses == {"disk": 3, "slow": 16, "bug": 0, "closed": 0}
    sink.gate.set()
    threaded.close(PATIENCE)
    assert sink.taken == [0, 17, 18, 19, 20]


def test_a_sink_that_does_not_end_is_left_behind_and_said(caplog: pytest.LogCaptureFixture) -> None:
    sink = Gated()
    threaded = ThreadedSink(sink, name="gate recorder")
    for item in many(3):
        threaded.write(*item)
    assert sink.waiting.wait(PATIENCE)
    threaded.close(timeout=0.05)
    assert "gate recorder does not end within 0.05 s" in caplog.text
    assert threaded.losses["slow"] == 2
    sink.gate.set()
    eventually(lambda: sink.closed == 1)  # when it comes to itself, it still finishes its file
    assert sink.taken == [0]


def test_what_comes_after_the_end_is_counted() -> None:
    sink = Gated()
    sink.gate.set()
    threaded = ThreadedSink(sink)
    threaded.close(PATIENCE)
    threaded.close(PATIENCE)
    threaded.write(*scored(0))
    assert threaded.losses["closed"] == 1
    assert (sink.taken, sink.closed) == ([], 1)


def test_a_bug_in_a_sink_switches_it_off_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    sink = Broken()
    sink.gate.set()
    threaded = ThreadedSink(sink, capacity=100, name="gate restream")
    for item in many(3):
        threaded.write(*item)
    eventually(lambda: sink.closed == 1)
    for item in many(5, 3):
        threaded.write(*item)
    threaded.close(PATIENCE)
    assert sink.taken == [0, 1, 2]
    assert (sink.closed, threaded.losses["bug"]) == (1, 6)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "gate restream has failed" in record.getMessage()
    assert "RuntimeError" in caplog.text
    assert "test_sink.py" in caplog.text
    assert "hunter2" not in caplog.text
