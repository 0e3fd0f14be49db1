"""Scores for the thresholds of a new scene are collected over kills, gaps and restarts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from msflow_stream.teaching.learning import LearningRecord
from msflow_stream.types import FrameScore, Scores
from msflow_stream.watch.calibration_run import CalibrationRun, run_file, statistics

RECORD = LearningRecord(phase="calibrating", camera="gate", learn=60, calibrate=2.0, rate=0.1, every=5)


def score(time: float) -> FrameScore:
    scores = Scores(1.0 + time, 0.5, 0.25)
    heat = np.full((4, 4), time, np.float16)
    return FrameScore(
        source="gate", scene="gate", index=round(25 * time), time=time, wall=None, scores=scores, map=heat
    )


def collect(run: CalibrationRun, *times: float) -> None:
    for time in times:
        run.add(score(time))
    run.close()


def test_it_is_enough_after_so_many_seconds_and_takes_no_more(tmp_path: Path) -> None:
    run = CalibrationRun(tmp_path / "gate", "fit", RECORD)
    collect(run, *np.arange(0, 10, 0.25))

    assert run.is_enough
    assert run.seconds == 2.0
    assert len(statistics(run_file(tmp_path / "gate", "fit")).scores) == 9


def test_what_an_earlier_process_collected_counts_as_a_source_of_its_own(tmp_path: Path) -> None:
    collect(CalibrationRun(tmp_path / "gate", "fit", RECORD), 5.0, 5.5, 6.0)  # and is killed
    path = run_file(tmp_path / "gate", "fit")
    path.write_bytes(path.read_bytes() + b"gate,17,6.5,0.1")  # in the middle of a line
    run = CalibrationRun(tmp_path / "gate", "fit", RECORD)

    assert run.seconds == 1.0
    collect(run, 0.0, 0.5)
    assert run.seconds == 1.5
    assert [one.time for one in statistics(path).scores] == [5.0, 5.5, 6.0, 0.0, 0.5]


def test_a_gap_counts_for_nothing(tmp_path: Path) -> None:
    run = CalibrationRun(tmp_path / "gate", "fit", RECORD)
    collect(run, 0.0, 0.5, 100.0, 100.5)

    assert run.seconds == 1.0


def test_scores_of_another_fit_do_not_count(tmp_path: Path) -> None:
    collect(CalibrationRun(tmp_path / "gate", "fit", RECORD), 0.0, 1.0)

    assert CalibrationRun(tmp_path / "gate", "other", RECORD).seconds == 0


def test_scores_and_where_maps_end_are_kept(tmp_path: Path) -> None:
    collect(CalibrationRun(tmp_path / "gate", "fit", RECORD), 0.0, 1.5)
    normal = statistics(run_file(tmp_path / "gate", "fit"))

    assert normal.scores[1].scores[:3] == pytest.approx((2.5, 0.5, 0.25))
    assert normal.peaks[1] == pytest.approx([1.5, 1.5])
