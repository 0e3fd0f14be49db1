"""activity.db: what matters is in it at once, whole after any end, and what cannot be written is counted."""

from __future__ import annotations

import logging
import math
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.detection.regions import regions_of
from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.series import ScoreSmoother, SmoothedScore
from msflow_stream.types import Frame, FrameScore, Motion, Scores, Why
from msflow_stream.video.drawing.jpeg import from_jpeg
from msflow_stream.watch.outputs.activity import ActivityLog, WatchedAs
from msflow_stream.watch.outputs.activity_file import packed, unpacked
from msflow_stream.watch.replay.activity import Activity, thumbnail
from tests.watch.outputs.scored import START, eventually

WATCHED = WatchedAs(
    scene="yard",
    fit="a",
    area="{}",
    kind="paper",
    smoothing=0.0,
    level=1.0,
    settings=EventSettings(leave=0.5, min_duration=0.4, cool_down=1.0),
    lowest=(Trigger("paper", 2.0, normal=0.0),),
)
WHY = Why(3.0, 0.5, 0.1, Motion(0.1, 0.2, 0.3, 0.4, 0.5), 0.6, 0.7)


def seen(number: int, value: float, smoother: ScoreSmoother, start: datetime = START) -> tuple[Frame, SmoothedScore]:
    """A frame of 48 x 32 pixels, as grey as its number, five a second; what is unusual is in its upper left."""
    heat = np.zeros((64, 96), np.float16)
    heat[:8, :12] = value
    wall = start + timedelta(seconds=number / 5)
    score = FrameScore("gate", "yard", 5 * number, number / 5, wall, Scores(value, 1 / 3, 2 / 3), heat, why=WHY)
    image = np.full((32, 48, 3), 10 * (number % 20), np.uint8)
    return Frame("gate", 5 * number, None, number / 5, wall, image), smoother(score)


def write(log: ActivityLog, *values: float, watched: WatchedAs = WATCHED, start: datetime = START) -> None:
    smoother = ScoreSmoother(watched.smoothing)
    for number, value in enumerate(values):
        log.write(*seen(number, value, smoother, start), watched)


def recorded(folder: Path, *values: float, **settings: object) -> Activity:
    log = ActivityLog(folder, "gate", lossless=True, **settings)  # type: ignore[arg-type]
    write(log, *values)
    log.close(10)
    return Activity.read(folder / "activity.db")


def test_frames_that_matter_are_there_exactly_and_no_others(tmp_path: Path) -> None:
    activity = recorded(tmp_path, *[0.0] * 10, 3.0, 4.0, 1.0, *[0.0] * 10)
    (run,) = activity.runs
    assert (run.scene, run.fit, run.kind, run.floors, run.lost) == ("yard", "a", "paper", {"paper": 2.0}, 0)
    assert [frame.index // 5 for frame in activity.frames] == [0, 1, 10, 11, 12, 13, 14, 15]
    frame = activity.frames[3]
    assert frame.wall == pytest.approx((START + timedelta(seconds=2.2)).timestamp())
    assert (frame.time, frame.size, frame.why) == (2.2, (48, 32), WHY)
    np.testing.assert_array_equal(frame.scores, [4.0, 1 / 3, 2 / 3, math.nan, math.nan])
    assert frame.boxes == regions_of(seen(11, 4.0, ScoreSmoother(0.0))[1].score.map, 1.0, (48, 32)) == ((0, 0, 6, 4),)
    scored = frame.scored("gate")
    assert (scored.score.source, scored.smoothed["paper"], scored.score.wall) == (
        "gate",
        4.0,
        START + timedelta(seconds=2.2),
    )


def test_each_burst_has_the_most_striking_frame_as_its_thumbnail(tmp_path: Path) -> None:
    activity = recorded(tmp_path, 0, 3.0, 5.0, 4.0, *[0] * 6, 3.0, 0, 0)
    assert [burst.index // 5 for burst in activity.bursts] == [2, 10]
    jpeg = thumbnail(tmp_path / "activity.db", activity.bursts[0].id)
    assert jpeg is not None
    assert from_jpeg(jpeg).mean() == pytest.approx(20, abs=2)
    assert activity.bursts[0].end == pytest.approx((START + timedelta(seconds=0.8)).timestamp())
    assert thumbnail(tmp_path / "activity.db", 99) is None


def test_a_killed_watch_leaves_all_that_was_written(tmp_path: Path) -> None:
    log = ActivityLog(tmp_path / "gate", "gate", lossless=True)
    write(log, 0.0, *[3.0] * 40)
    eventually(lambda: not log._queue._waiting)  # it is written by another thread
    shutil.copytree(tmp_path / "gate", tmp_path / "killed")  # as the files are at that moment
    log.close(10)
    assert len(Activity.read(tmp_path / "killed" / "activity.db").frames) >= 39
    write(again := ActivityLog(tmp_path / "killed", "gate", lossless=True), 3.0)
    again.close(10)
    assert len(Activity.read(tmp_path / "killed" / "activity.db").runs) == 2


def test_another_way_of_watching_begins_a_run(tmp_path: Path) -> None:
    log = ActivityLog(tmp_path, "gate", lossless=True)
    write(log, 3.0)
    write(log, 3.0, watched=replace(WATCHED, fit="b"), start=START + timedelta(hours=1))
    log.close(10)
    path = tmp_path / "activity.db"
    assert [run.fit for run in Activity.read(path).runs] == ["a", "b"]
    assert [run.fit for run in Activity.read(path, START + timedelta(minutes=30)).runs] == ["a", "b"]
    assert [run.fit for run in Activity.read(path, START + timedelta(hours=2)).runs] == ["b"]


def test_what_cannot_be_written_is_counted_and_told_to_whoever_replays(tmp_path: Path) -> None:
    (tmp_path / "activity.db").mkdir()
    log = ActivityLog(tmp_path, "gate", lossless=True)
    write(log, 3.0, 3.0)
    eventually(lambda: log.losses["disk"] == 2)
    (tmp_path / "activity.db").rmdir()
    write(log, 3.0, 3.0, watched=replace(WATCHED))
    log.close(10)
    assert log.losses["disk"] == 2
    assert len(Activity.read(tmp_path / "activity.db").frames) == 2


def test_a_damaged_file_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "activity.db").write_bytes(b"this is no database, it only has its name " * 100)
    with caplog.at_level(logging.WARNING):
        assert len(recorded(tmp_path, 3.0).frames) == 1
    assert "cannot be gone on with" in caplog.text
    assert len(list(tmp_path.glob("activity-*.db"))) == 1


def test_what_is_old_is_removed(tmp_path: Path) -> None:
    recorded(tmp_path, 3.0, 3.0)  # years ago, or soon
    log = ActivityLog(tmp_path, "gate", lossless=True, keep_days=1.0)
    write(log, 3.0, start=datetime.now(UTC) + timedelta(days=3000))
    log.close(10)
    later = Activity.read(tmp_path / "activity.db")
    assert len(later.frames) == (1 if datetime.now(UTC) - START > timedelta(days=1) else 3)


@pytest.mark.parametrize("shape", [(64, 96), (10, 7), (33, 200)])
def test_a_small_map_has_the_peaks_of_the_map(shape: tuple[int, int]) -> None:
    heat = np.random.default_rng(0).normal(0, 100, shape).astype(np.float16)
    small = unpacked(packed(heat))
    assert small.shape == tuple(min(32, side) for side in shape)
    assert small.max() == heat.max()
    assert small.min() >= heat.min()
    assert packed(np.zeros(shape, np.float16))
