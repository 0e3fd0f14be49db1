"""Reports of watches that are doing well, badly, or nothing at all."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from av import error as errors

from msflow_stream.stream.counters import Counters, SourceCounts
from msflow_stream.types import ScoreRow, Scores
from msflow_stream.video.live.faults import Fault, open_error
from msflow_stream.video.live.states import CameraStatus, State
from msflow_stream.video.reading.source_info import SourceInfo
from msflow_stream.watch.report import CameraReport, WatchReport

STARTED = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
NOW = STARTED + timedelta(days=3, hours=4)
SECRET = "hunter2"
HOSTILE = 'ga"te\\one\n{x="y"} 1\r\x1b[31m[bold]Tür 門'
INFO = SourceInfo("gate", 1920, 1080, Fraction(25), Fraction(1, 90000), None, None, "h264", False, True, 0)
ROW = ScoreRow(index=995, time=39.8, scores=Scores(3.5, 0.1, -1.25), smoothed=3.0, threshold=4.0, alarm=0)


def refused() -> str:
    """The reason that a camera with credentials in its address gives."""
    error = errors.HTTPUnauthorizedError(1, "Unauthorized", "rtsp")
    return str(open_error(error, f"rtsp://admin:{SECRET}@camera.example/live?token={SECRET}", 0.1, 10))


def running(name: str = "gate", scene: str = "yard") -> CameraReport:
    status = CameraStatus(name, State.RUNNING, "pictures come", None, 1000, 200, 3, 2, 1, NOW, 0.25, INFO, "cuda")
    counts = SourceCounts(200, 190, 185, {"newer frame": 12, "source failed": 1})
    return CameraReport(name, scene, status, counts, ROW, NOW, {"recorder:disk": 3, "preview:slow: disk": 4}, 57)


def alarmed(name: str = "door") -> CameraReport:
    return replace(running(name), last=replace(ROW, smoothed=5.5, alarm=1))


def unreachable(name: str = "roof") -> CameraReport:
    status = CameraStatus(name, State.RECONNECTING, refused(), Fault.CREDENTIALS, 0, 0, 0, 4321, None, None, None, None)
    return CameraReport(name, "roof-night", status, None, None, None, {})


def dark(name: str = "cellar") -> CameraReport:
    one = running(name)
    reason = "black picture for 12.0 s; check the lens, the light and the camera's input"
    return replace(one, status=replace(one.status, state=State.STALLED, reason=reason, fault=Fault.BLACK, lag=1234.5))


def in_state(name: str, state: State) -> CameraReport:
    one = running(name)
    return replace(one, status=replace(one.status, state=state, reason=str(state)))


def report(*cameras: CameraReport) -> WatchReport:
    counters = Counters()
    for size in (1, 3, 4, 4, 16, 300):
        counters.add_batch(size)
    for seconds in (0.0005, 0.02, 0.02, 0.3, 60):
        counters.waiting.add(seconds)
        counters.scoring.add(2 * seconds)
        counters.delivering.add(seconds / 2)
    return WatchReport(cameras, counters.snapshot(), STARTED, "cuda:0", 3 * 2**30, 5, 1)


def nothing() -> WatchReport:
    return WatchReport((), Counters().snapshot(), STARTED, "cpu", None, 0, 0)


def of_all_sorts() -> WatchReport:
    return report(running(HOSTILE, 'scene "\\\n'), unreachable(), dark(), alarmed())


def promtool() -> str:
    """Prometheus's checker; without it the test is skipped, or fails in CI."""
    found = shutil.which("promtool")
    if found is None:
        message = "no promtool; apt-get install prometheus"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found
