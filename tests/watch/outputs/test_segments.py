"""What the retention removes, and what it never touches."""

from __future__ import annotations

import shutil
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from msflow_stream.files import Retention
from msflow_stream.watch.outputs.segments import free_path, remove_old_segments, segments
from tests.watch.outputs.scored import START

NOW = START
OTHERS = [
    "2026-01-01T000000Z.mp4.part",
    "2026-01-01T000000Z.csv",
    "2026-13-01T000000Z.mp4",
    "holiday.mp4",
    "copy of 2026-01-01T000000Z.mp4",
]


def name(minutes_ago: float) -> str:
    return (NOW - timedelta(minutes=minutes_ago)).strftime("%Y-%m-%dT%H%M%SZ.mp4")


def make(folder: Path, *minutes_ago: float, size: int = 1000) -> list[Path]:
    """Segments that started so long ago, and files that are none of ours."""
    for other in OTHERS:
        (folder / other).write_bytes(b"x" * 10_000)
    paths = [folder / name(minutes) for minutes in minutes_ago]
    for path in paths:
        path.write_bytes(b"x" * size)
    return paths


def left(folder: Path) -> list[Path]:
    assert {path.name for path in folder.iterdir()} >= set(OTHERS), "a file that is not ours was removed"
    return sorted(path for path in folder.iterdir() if path.name not in OTHERS)


def test_without_bounds_all_is_kept(tmp_path: Path) -> None:
    paths = make(tmp_path, 1_000_000, 1)
    assert remove_old_segments(tmp_path, Retention(), NOW) == 0
    assert left(tmp_path) == sorted(paths)


def test_segments_that_are_too_old_go(tmp_path: Path) -> None:
    paths = make(tmp_path, 1441, 9000, 1440, 5)
    assert remove_old_segments(tmp_path, Retention(keep_days=1), NOW) == 2
    assert left(tmp_path) == sorted(paths[2:])


def test_the_oldest_go_until_the_rest_is_small_enough(tmp_path: Path) -> None:
    paths = make(tmp_path, 40, 30, 20, 10)
    assert remove_old_segments(tmp_path, Retention(keep_bytes=2500), NOW) == 2
    assert left(tmp_path) == paths[2:]


def test_numbers_within_a_second_count_as_numbers(tmp_path: Path) -> None:
    (first,) = make(tmp_path, 1)
    rest = [first.with_suffix(f".{number}.mp4") for number in range(1, 12)]
    for path in rest:
        path.write_bytes(b"x" * 1000)
    remove_old_segments(tmp_path, Retention(keep_bytes=1000), NOW)
    assert left(tmp_path) == [rest[-1]]


def test_the_segment_that_is_being_written_counts_but_stays(tmp_path: Path) -> None:
    paths = make(tmp_path, 30, 20, 10)
    assert (
        remove_old_segments(tmp_path, Retention(keep_days=0, keep_bytes=0, min_free_bytes=2**60), NOW, writing=paths[0])
        == 2
    )
    assert left(tmp_path) == paths[:1]


def test_the_oldest_go_until_enough_of_the_disk_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make(tmp_path, 40, 30, 20, 10)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10_000, 7_500, 2_500))
    assert remove_old_segments(tmp_path, Retention(min_free_bytes=4_000), NOW) == 2
    assert left(tmp_path) == paths[2:]


def test_a_segment_that_cannot_be_removed_does_not_cost_the_newer_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make(tmp_path, 40, 30)

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(PermissionError):
        remove_old_segments(tmp_path, Retention(keep_bytes=1500), NOW)
    assert left(tmp_path) == paths


def test_links_and_folders_are_not_segments(tmp_path: Path) -> None:
    (tmp_path / name(1)).mkdir()
    (tmp_path / "target").write_text("")
    (tmp_path / name(2)).symlink_to(tmp_path / "target")
    assert list(segments(tmp_path)) == []


def test_a_segment_is_named_by_its_start_and_numbered_if_the_name_is_taken(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 23, 23, 21, 38, 900_000, UTC)
    found = []
    for _ in range(3):
        path = free_path(tmp_path, moment)
        path.write_bytes(b"")
        found.append(path)
    base = "2026-11-23T232138Z"
    assert [path.name for path in found] == [f"{base}.mp4", f"{base}.1.mp4", f"{base}.2.mp4"]
    assert [segment.path for segment in segments(tmp_path)] == found
