"""Which evidence is removed, and that nothing else ever is."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from msflow_stream.events.evidence.event_clips import EvidenceSettings
from msflow_stream.events.evidence.event_folder import KEEP, remove_old_events, write_event
from msflow_stream.events.evidence.recorder import EvidenceWriter
from msflow_stream.files import Retention
from msflow_stream.types import UserError
from tests.events.evidence.playing import STYLE, names, said
from tests.support.small_disk import fill, small_disk
from tests.watch.outputs.scored import Hands
from tests.watch.outputs.scored import scored as item

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def make(folder: Path, id: str, days: float, size: int = 1000, now: datetime = NOW, end: float | None = 1.0) -> Path:
    """The evidence of an event of so many days ago, of so many bytes and an event.json."""
    path = folder / id
    path.mkdir(parents=True)
    write_event(path, said(id, 0.0, 0, end), {})
    (path / "clip.mp4").write_bytes(b"x" * size)
    (path / "snapshot.jpg").write_bytes(b"")
    stamp = (now - timedelta(days=days)).timestamp()
    os.utime(path / "event.json", (stamp, stamp))
    return path


def size_of(path: Path) -> int:
    return sum(entry.stat().st_size for entry in path.iterdir())


def test_without_bounds_nothing_is_removed(tmp_path: Path) -> None:
    make(tmp_path, "old", 10_000)
    assert remove_old_events(tmp_path, Retention(), NOW) == 0
    assert names(tmp_path) == {"old"}


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    for days in (1, 6.9, 7.1, 30):
        make(tmp_path, f"{days}", days)
    assert remove_old_events(tmp_path, Retention(keep_days=7), NOW) == 2
    assert names(tmp_path) == {"1", "6.9"}


def test_of_what_is_too_much_the_oldest_goes_first(tmp_path: Path) -> None:
    for number in range(5):
        make(tmp_path, f"e{number}", days=number, size=10_000)
    one = size_of(tmp_path / "e0")
    assert remove_old_events(tmp_path, Retention(keep_bytes=3 * one), NOW) == 2
    assert names(tmp_path) == {"e0", "e1", "e2"}


def test_a_disk_that_gets_full_is_made_room_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4_000_000) as disk:
        events = disk / "events"
        for number in range(5):
            make(events, f"e{number}", days=number, size=400_000)
        fill(disk, room=500_000)
        assert remove_old_events(events, Retention(min_free_bytes=1_000_000), NOW) == 2
        assert names(events) == {"e0", "e1", "e2"}
        assert os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize >= 1_000_000


def test_what_is_marked_to_be_kept_stays_and_does_not_count(tmp_path: Path) -> None:
    for number in range(5):
        make(tmp_path, f"e{number}", days=number, size=10_000)
    (tmp_path / "e4" / KEEP).touch()
    one = size_of(tmp_path / "e0")
    retention = Retention(keep_bytes=one)
    assert remove_old_events(tmp_path, retention, NOW, is_kept=lambda id: id == "e3") == 2
    assert names(tmp_path) == {"e0", "e3", "e4"}
    assert remove_old_events(tmp_path, Retention(keep_days=0.5), NOW, is_kept=lambda id: id == "e3") == 0
    assert names(tmp_path) == {"e0", "e3", "e4"}


def test_open_events_stay(tmp_path: Path) -> None:
    for number in range(3):
        make(tmp_path, f"e{number}", days=number, size=10_000)
    assert remove_old_events(tmp_path, Retention(keep_days=0.5, keep_bytes=0), NOW, open_ones={"e2"}) == 2
    assert names(tmp_path) == {"e2"}


def test_what_is_not_ours_is_never_removed(tmp_path: Path) -> None:
    away = tmp_path / "away"
    make(away, "linked", days=99)
    events = tmp_path / "events"
    make(events, "ours", days=99)
    foreign = make(events, "with a note", days=99)
    (foreign / "note.txt").write_text("mine")
    (make(events, "with a folder", days=99) / "more").mkdir()
    (make(events, "with a link", days=99) / "clip-2.mp4").symlink_to(away / "linked/clip.mp4")
    (events / "without event.json").mkdir()
    (events / "without event.json/clip.mp4").write_bytes(b"x")
    (events / "linked").symlink_to(away / "linked")
    (events / "file").write_text("mine")
    kept = names(events) - {"ours"}
    assert remove_old_events(events, Retention(keep_days=1, keep_bytes=0, min_free_bytes=10**18), NOW) == 1
    assert names(events) == kept
    assert names(away / "linked") == {"event.json", "clip.mp4", "snapshot.jpg"}


def test_the_writer_removes_as_it_goes_and_never_what_is_open(tmp_path: Path) -> None:
    clock, now = Hands(), datetime.now(UTC)
    make(tmp_path, "left open", days=99, now=now, end=None)
    make(tmp_path, "old", days=99, now=now)
    retention = Retention(keep_days=1, keep_bytes=0)
    writer = EvidenceWriter(tmp_path, STYLE, retention=retention, settings=EvidenceSettings(), clock=clock)
    writer.write(*item(0))
    assert names(tmp_path) == {"left open"}
    writer.event(said("new", 0.0, 0))
    writer.write(*item(1))
    make(tmp_path, "older", days=99, now=now)
    clock.now = 59
    writer.write(*item(2))
    assert "older" in names(tmp_path)
    clock.now = 61
    writer.write(*item(3))
    assert names(tmp_path) == {"left open", "new"}
    writer.event(said("left open", 0.0, 0, 1.0, version=2))
    clock.now = 122
    writer.write(*item(4))
    assert names(tmp_path) == {"new"}
    writer.close()


def test_one_who_does_not_know_what_is_kept_costs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Hands()
    make(tmp_path, "old", days=99, now=datetime.now(UTC))

    def fail(_: str) -> bool:
        raise ConnectionError("postgresql://user:hunter2@db.example/events is away")

    retention = Retention(keep_days=1)
    writer = EvidenceWriter(tmp_path, STYLE, retention=retention, is_kept=fail, clock=clock)
    for number in range(3):
        clock.now += 100
        writer.write(*item(number))
    assert names(tmp_path) == {"old"}
    assert caplog.text.count("cannot remove old events") == 1
    assert "hunter2" not in caplog.text
    writer.close()


def test_a_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file")
    with pytest.raises(UserError, match="cannot create the folder"):
        EvidenceWriter(tmp_path / "events", STYLE)
