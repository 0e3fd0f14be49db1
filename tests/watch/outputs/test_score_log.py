"""scores.csv of a camera that runs for weeks: nothing is lost by midnight, by size, by a kill; and a full disk."""

from __future__ import annotations

import csv
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from msflow_stream.results.score_files import read_scores
from msflow_stream.types import UserError
from msflow_stream.watch.outputs.score_log import ScoreLog
from tests.support.data import REPOSITORY
from tests.support.small_disk import fill, small_disk
from tests.watch.outputs.scored import START, Item, many, scored

COLUMNS = [
    *("wall", "index", "time", "score", "surprise", "surprise_mean", "motion", "combined", "smoothed"),
    *("threshold", "alarm", "probability", "reused"),
]


def log(folder: Path, items: Iterable[Item], **settings: object) -> ScoreLog:
    """Writes items and closes."""
    scores = ScoreLog(folder, **settings)  # type: ignore[arg-type]
    for item in items:
        scores.write(*item)
    scores.close()
    return scores


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def indices(*paths: Path) -> list[int]:
    return [int(row["index"]) for path in paths for row in rows(path)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_row_is_on_disk_as_soon_as_it_is_taken(tmp_path: Path) -> None:
    scores = ScoreLog(tmp_path)
    scores.write(*scored(7, alarm=1))
    found = rows(tmp_path / "scores.csv")
    scores.close()
    assert list(found[0]) == COLUMNS
    assert found == [
        dict(
            zip(
                COLUMNS,
                ["2026-11-23T23:21:39.400Z", "7", "1.400000", *"000", "", "", *"0", "0.5", "1", "0", "0"],
                strict=True,
            )
        )
    ]
    scores.close()
    with pytest.raises(ValueError, match="closed"):
        scores.write(*scored(8))


def test_the_values_are_written_as_score_writes_them(tmp_path: Path) -> None:
    log(tmp_path, many(5))
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    (tmp_path / "scores.csv").write_text("".join(line.partition(",")[2] + "\n" for line in lines))
    expected = [row for _, _, row in many(5)]
    for row, wanted in zip(read_scores(tmp_path), expected, strict=True):
        assert vars_of(row) == pytest.approx(vars_of(wanted), rel=1e-6, nan_ok=True)


def vars_of(row: object) -> list[float]:
    return [getattr(row, name) for name in COLUMNS[1:]]


def test_a_frame_without_a_time_of_arrival_arrives_now(tmp_path: Path) -> None:
    frame, score, row = scored(0)
    log(tmp_path, [(replace(frame, wall=None), replace(score, wall=None), row)])
    arrived = datetime.fromisoformat(rows(tmp_path / "scores.csv")[0]["wall"])
    assert abs(datetime.now(UTC) - arrived) < timedelta(minutes=5)


def test_at_midnight_the_file_takes_the_name_of_its_day(tmp_path: Path) -> None:
    midnight = datetime(2026, 11, 24, tzinfo=UTC)
    walls = [midnight + timedelta(milliseconds=ms) for ms in (-400, -1, 0, 200)]
    log(tmp_path, [scored(i, wall=wall) for i, wall in enumerate(walls)])
    assert names(tmp_path) == ["scores-2026-11-23.csv", "scores.csv"]
    assert indices(tmp_path / "scores-2026-11-23.csv") == [0, 1]
    assert indices(tmp_path / "scores.csv") == [2, 3]


def test_a_full_file_is_followed_by_the_next_of_its_day_and_no_row_is_lost(tmp_path: Path) -> None:
    log(tmp_path, many(40), max_bytes=700)
    log(tmp_path, many(40, 40), max_bytes=700)
    numbers = range(1, len(names(tmp_path)) - 1)
    finished = [tmp_path / "scores-2026-11-23.csv", *(tmp_path / f"scores-2026-11-23.{n}.csv" for n in numbers)]
    assert len(finished) > 5
    assert sorted(path.name for path in [*finished, tmp_path / "scores.csv"]) == names(tmp_path)
    assert indices(*finished, tmp_path / "scores.csv") == list(range(80))
    assert max(path.stat().st_size for path in finished) <= 700


def test_the_time_zone_of_the_frames_does_not_move_midnight(tmp_path: Path) -> None:
    there = timezone(timedelta(hours=5))
    log(tmp_path, [scored(0, wall=START.astimezone(there)), scored(1)])
    assert names(tmp_path) == ["scores.csv"]
    assert rows(tmp_path / "scores.csv")[0]["wall"] == "2026-11-23T23:21:38.000Z"


@pytest.mark.parametrize("lost", range(1, 12))
def test_a_torn_last_line_is_cut_off_and_nothing_else(tmp_path: Path, lost: int) -> None:
    log(tmp_path, many(3))
    path = tmp_path / "scores.csv"
    os.truncate(path, path.stat().st_size - lost)
    log(tmp_path, many(2, 3))
    assert indices(path) == [0, 1, 3, 4]


def test_a_torn_header_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("wall,ind")
    log(tmp_path, many(2))
    assert names(tmp_path) == ["scores.csv"]
    assert indices(tmp_path / "scores.csv") == [0, 1]


def test_a_restart_on_another_day_puts_the_old_file_aside_first(tmp_path: Path) -> None:
    log(tmp_path, many(2))
    with (tmp_path / "scores.csv").open("a") as file:
        file.write("2026-11-23T23:5")  # the torn line of a kill
    log(tmp_path, many(2, 0, wall=START + timedelta(days=3)))
    assert indices(tmp_path / "scores-2026-11-23.csv") == [0, 1]
    assert [row["wall"][:10] for row in rows(tmp_path / "scores.csv")] == ["2026-11-26"] * 2


def test_sigkill_and_restart(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom itertools import count\n"
        "from msflow_stream.watch.outputs.score_log import ScoreLog\nfrom tests.watch.outputs.scored import scored\n"
        "scores = ScoreLog(pathlib.Path(sys.argv[1]), max_bytes=20_000)\n"
        "for index in count():\n    scores.write(*scored(index, time=0.0))\n    print(index, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 500:
            process.send_signal(signal.SIGKILL)
            break
    rest = process.stdout.read().split()
    process.stdout.close()
    process.wait()
    told = int(rest[-1]) if rest else 500
    log(tmp_path, [scored(1_000_000, time=0.0)], max_bytes=20_000)
    numbered = (tmp_path / f"scores-2026-11-23.{n}.csv" for n in range(1, len(names(tmp_path)) - 1))
    *before, last = indices(tmp_path / "scores-2026-11-23.csv", *numbered, tmp_path / "scores.csv")
    assert last == 1_000_000
    assert before == list(range(len(before)))
    assert len(before) - 1 in (told, told + 1)  # the last may have been written but not told


def test_a_full_disk_costs_the_rows_that_found_no_room_and_no_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def number(index: int) -> int:
        return 10_003 + 7 * index  # all lines are of one length: a shorter one would still find room

    caplog.set_level(logging.INFO)
    with small_disk(tmp_path / "disk", 65_536) as disk:
        scores = ScoreLog(disk / "gate")
        refused = []

        def take(index: int) -> None:
            before = scores.lost
            scores.write(*scored(number(index)))
            if scores.lost > before:
                refused.append(index)

        for index in range(5):
            take(index)
        filler = fill(disk)
        for index in range(5, 200):  # the page that is begun has some room left, and its last line does not fit
            take(index)
        assert (disk / "gate/scores.csv").read_bytes().endswith(b"\n")
        filler.unlink()
        for index in range(200, 210):
            take(index)
        scores.close()
        kept = indices(disk / "gate/scores.csv")
    assert 0 < len(refused) < 195
    assert kept == [number(index) for index in range(210) if index not in refused]
    assert refused == list(range(refused[0], 200))
    assert scores.losses == {"disk": len(refused)}
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "No space left on device" in caplog.text


def test_a_disk_that_is_full_from_the_start_is_waited_for(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 65_536) as disk:
        filler = fill(disk)
        scores = ScoreLog(disk / "gate")
        for item in many(3):
            scores.write(*item)
        filler.unlink()
        for item in many(3, 3):
            scores.write(*item)
        scores.close()
        assert scores.lost == 3
        assert indices(disk / "gate/scores.csv") == [3, 4, 5]


def test_a_file_that_is_moved_away_is_followed_by_a_new_one(tmp_path: Path) -> None:
    scores = ScoreLog(tmp_path)
    scores.write(*scored(0))
    (tmp_path / "scores.csv").rename(tmp_path / "mine.csv")
    scores.write(*scored(1))
    scores.close()
    assert indices(tmp_path / "mine.csv") == [0]
    assert indices(tmp_path / "scores.csv") == [1]


def test_a_file_with_other_columns_is_kept_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("index,time\n0,0.0\n")
    modified = datetime(2026, 5, 6, 12, tzinfo=UTC).timestamp()
    os.utime(tmp_path / "scores.csv", (modified, modified))
    log(tmp_path, many(1))
    assert (tmp_path / "scores-2026-05-06.csv").read_text() == "index,time\n0,0.0\n"
    assert indices(tmp_path / "scores.csv") == [0]


def test_old_files_are_removed_and_only_ours(tmp_path: Path) -> None:
    today = date(2026, 11, 23)
    ours = {days: f"scores-{today - timedelta(days=days)}.csv" for days in (1, 7, 8, 400)}
    others = ["scores-2026-01-01.csv.bak", "notes.csv", "scores-2026-13-01.csv", "my-scores-2026-01-01.csv"]
    for name in [*ours.values(), "scores-2026-11-01.3.csv", *others]:
        (tmp_path / name).write_text("")
    log(tmp_path, many(1), keep_days=7)
    assert names(tmp_path) == sorted([ours[1], ours[7], *others, "scores.csv"])
    log(tmp_path, [scored(0, wall=START + timedelta(days=8))], keep_days=7)
    assert names(tmp_path) == sorted([*others, "scores.csv"])


def test_a_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "gate").write_text("a file")
    with pytest.raises(UserError, match="cannot create the folder"):
        ScoreLog(tmp_path / "gate")
