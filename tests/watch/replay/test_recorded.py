"""What a camera recorded is read as arrays, and drawn so that no peak is lost and no gap is a score."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.types import ScoreRow, Scores
from msflow_stream.watch.outputs.score_log import HEADER, ScoreLog
from msflow_stream.watch.replay.history import extremes, history
from msflow_stream.watch.replay.recorded import Recorded
from tests.watch.outputs.scored import START, many

OLD = "wall,index,time,score,surprise,surprise_mean,smoothed,threshold,alarm\n"


def filled(folder: Path, count: int = 20, **settings: object) -> Path:
    log = ScoreLog(folder, **settings)  # type: ignore[arg-type]
    for item in many(count):
        log.write(*item)
    log.close()
    return folder


def test_all_columns_come_back(tmp_path: Path) -> None:
    recorded = Recorded.read(filled(tmp_path / "gate"))
    rows = [row for _, _, row in many(20)]
    assert (recorded.source, len(recorded)) == ("gate", 20)
    np.testing.assert_allclose(recorded.wall, [(START + timedelta(seconds=row.time)).timestamp() for row in rows])
    np.testing.assert_array_equal(recorded.index, [row.index for row in rows])
    np.testing.assert_allclose(recorded.scores, np.array([row.scores for row in rows]), rtol=1e-6)
    for name in ("time", "smoothed", "threshold", "alarm", "probability", "reused"):
        np.testing.assert_allclose(getattr(recorded, name), [getattr(row, name) for row in rows], rtol=1e-6)


def test_rotated_files_are_one_series_and_a_span_is_cut_out_of_it(tmp_path: Path) -> None:
    filled(tmp_path, 40, max_bytes=1000)
    assert len(list(tmp_path.glob("scores*.csv"))) > 3
    np.testing.assert_array_equal(Recorded.read(tmp_path).index, np.arange(40))
    span = START + timedelta(seconds=2), START + timedelta(seconds=4)
    np.testing.assert_array_equal(Recorded.read(tmp_path, *span).index, np.arange(10, 21))
    assert len(Recorded.read(tmp_path, START + timedelta(days=9))) == 0
    assert len(Recorded.read(tmp_path / "nobody")) == 0


def test_a_span_of_a_long_file_is_what_it_is_of_the_whole(tmp_path: Path) -> None:
    lines = [HEADER]
    for number in range(4000):
        wall = START + timedelta(seconds=30 * number)
        row = ScoreRow(number, number, Scores(1, 2, 3), number, 0.4, 1)
        lines.append((",".join([wall.strftime("%Y-%m-%dT%H:%M:%S.000Z"), *row.cells()]) + "\n").encode())
    (tmp_path / "scores.csv").write_bytes(b"".join(lines))
    for first, last in ((0, 0), (10, 4000), (100, 101), (1999, 2500), (3999, 3999), (5000, 6000), (-9, -1)):
        span = [START + timedelta(seconds=30 * number) for number in (first, last)]
        expected = list(range(max(first, 0), min(last, 3999) + 1))
        assert Recorded.read(tmp_path, *span).index.tolist() == expected


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = filled(tmp_path) / "scores.csv"
    content = path.read_bytes()
    for length in range(len(content) - 100, len(content)):
        path.write_bytes(content[:length])
        whole = content[:length].count(b"\n") - 1
        assert len(Recorded.read(tmp_path).smoothed) == whole
    lines = content.split(b"\n")
    path.write_bytes(b"\n".join([*lines[:5], lines[5][:30], b"\0" * 50, *lines[6:]]))
    np.testing.assert_array_equal(Recorded.read(tmp_path).index, [0, 1, 2, 3, *range(5, 20)])


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    (tmp_path / "scores-2026-11-22.csv").write_text(OLD + "2026-11-22T10:00:00.000Z,5,1.000000,0.1,0.2,0.3,0.4,inf,0\n")
    filled(tmp_path, 2)
    recorded = Recorded.read(tmp_path)
    np.testing.assert_allclose(recorded.scores[0], [0.1, 0.2, 0.3, math.nan, math.nan])
    assert recorded.threshold[0] == math.inf
    assert math.isnan(recorded.probability[0])
    assert recorded.reused.tolist() == [False, False, False]
    json.dumps(history(recorded), allow_nan=False)


def test_gaps_are_nothing_and_alarms_do_not_go_over_them(tmp_path: Path) -> None:
    lines = [HEADER.decode()]
    for second in (0, 1, 2, 10, 11, 12):
        wall = datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC)
        row = ScoreRow(second, second, Scores(1, 2, 3), 0.5, 0.4, 1)
        lines.append(",".join([wall.isoformat(timespec="milliseconds")[:-6] + "Z", *row.cells()]) + "\n")
    (tmp_path / "scores.csv").write_text("".join(lines))
    recorded = Recorded.read(tmp_path)
    drawn, first = history(recorded), recorded.wall[0]
    assert [t - first for t in drawn["t"]] == [0, 1, 2, 6, 10, 11, 12]
    assert drawn["score"] == [0.5, 0.5, 0.5, None, 0.5, 0.5, 0.5]
    assert drawn["gaps"] == [[first + 2, first + 10]]
    assert drawn["alarm"] == [[first, first + 2], [first + 10, first + 12]]
    assert recorded.hours == pytest.approx(6 / 3600)


@settings(max_examples=40)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(2, 50))
def test_few_points_have_the_highest_and_lowest_of_all(values: list[float], points: int) -> None:
    wall, scores = np.arange(len(values), dtype=float), np.array(values)
    at = extremes(wall, scores, points)
    assert scores[at].max() == scores.max()
    assert scores[at].min() == scores.min()
    assert {0, len(values) - 1} <= set(at.tolist())
    assert (np.diff(at) > 0).all()
    assert len(at) <= max(points, 2) + 2
