"""Reports: their spans, their figures, the page and the zip."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest
from rich.console import Console

from msflow_stream.events.store import EventStore
from msflow_stream.types import UserError
from msflow_stream.watch.replay.recorded import Recorded
from msflow_stream.watch.reporting.bundle import MANIFEST, MISSING, safe_name, stream
from msflow_stream.watch.reporting.page import report_page
from msflow_stream.watch.reporting.spans import Span, shift_span, span_of, week_span
from msflow_stream.watch.reporting.summary import Summary, false_alarms, summarize
from pipelines.report import ReportJob, chosen_span, report
from tests.support.seeding import seeded

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ENDED = datetime(2026, 11, 22, 12, tzinfo=UTC)  # when the watch did
SPAN = span_of(ENDED - timedelta(hours=2), ENDED, "two hours")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeded(tmp_path_factory.mktemp("reports"), events=6, hours=2, now=ENDED, labelled=0.5)


@pytest.fixture(scope="module")
def store(out: Path) -> Iterator[EventStore]:
    with EventStore(f"sqlite:///{out / 'events.db'}") as opened:
        yield opened


def summary(store: EventStore, out: Path, **given: object) -> Summary:
    return summarize(store, out, out.parent / "scenes", SPAN, **given)  # type: ignore[arg-type]


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as change:
        change.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def utc(span: Span) -> tuple[datetime, datetime]:
    return span.since.astimezone(UTC), span.until.astimezone(UTC)


def test_a_night_shift_ends_on_the_next_day_by_the_clock_of_the_machine(in_berlin: None) -> None:
    span = shift_span("22:00-06:00", date(2026, 11, 28), NOW)
    assert utc(span) == (datetime(2026, 11, 28, 21, tzinfo=UTC), datetime(2026, 11, 29, 5, tzinfo=UTC))
    assert span.text == "2026-11-28 22:00 to 2026-11-29 06:00 (CET, UTC+01:00)"


def test_the_night_in_which_clocks_go_back_has_nine_hours_and_two_zones(in_berlin: None) -> None:
    span = shift_span("22:00-06:00", date(2026, 10, 24), NOW)
    assert span.hours == 9
    assert span.zone == "CEST, UTC+02:00 and CET, UTC+01:00"


def test_without_a_day_it_is_the_last_shift_that_has_begun(in_berlin: None) -> None:
    assert shift_span("22:00-06:00", None, NOW).since.day == 28
    assert shift_span("12:00-20:00", None, NOW).since.day == 29


def test_a_week_is_from_monday_to_sunday(in_berlin: None) -> None:
    span = week_span("2026-W48")
    assert utc(span) == (datetime(2026, 11, 22, 23, tzinfo=UTC), datetime(2026, 11, 29, 23, tzinfo=UTC))


@pytest.mark.parametrize("text", ["", "22-06", "25:00-06:00", "06:00-06:00"])
def test_what_is_no_shift_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match="22:00-06:00"):
        shift_span(text, None, NOW)


def test_a_week_that_there_is_not_is_refused() -> None:
    for text in ("2026-W54", "W48", "2026-W00", "9999-W53"):
        with pytest.raises(UserError, match="2026-W48"):
            week_span(text)


def test_hours_and_gaps_are_those_of_the_recorded_scores(store: EventStore, out: Path) -> None:
    for camera in summary(store, out).cameras:
        recorded = Recorded.read(out / camera.name, SPAN.since, SPAN.until)
        assert camera.hours == pytest.approx(recorded.hours)
        missing = sum((last - first).total_seconds() for first, last in camera.gaps)
        assert missing == pytest.approx(7200 - 3600 * recorded.hours, abs=20)


def test_events_are_counted_by_kind_and_label(store: EventStore, out: Path) -> None:
    for camera in summary(store, out).cameras:
        own = [one for one in store.find() if one.event.source == camera.name]
        assert dict(camera.kinds) == {kind: sum(kind in one.event.triggers for one in own) for kind, _ in camera.kinds}
        assert dict(camera.labels) == {label: sum(one.label == label for one in own) for label, _ in camera.labels}
        assert [one.stored for one in camera.events] == own[::-1]


def test_violations_are_no_false_alarms_and_what_nobody_judged_may_be(store: EventStore, out: Path) -> None:
    events = store.find()
    alarms = false_alarms(events, 2.0, {"gate": 0.2})
    normal = sum(one.label == "normal" for one in events)
    unknown = sum(one.label is None for one in events)
    assert (alarms.least, alarms.most) == (normal / 2, (normal + unknown) / 2)
    assert false_alarms([], 10.0, {}).interval == pytest.approx((0.0, 0.29957), abs=1e-4)  # -ln(0.05) / 10


def test_the_page_needs_nothing_else_and_escapes_what_is_foreign(store: EventStore, out: Path) -> None:
    text = report_page(summary(store, out))
    assert not re.search(r"(src|href)=\"(?!data:image/jpeg)", text)
    assert "<script" not in text
    assert "<b onclick" not in text
    assert text.count("data:image/jpeg;base64,") == 6


def unpacked(content: bytes, folder: Path) -> Path:
    with ZipFile(io.BytesIO(content)) as zip:
        zip.extractall(folder)
    return folder


def test_sha256sum_accepts_the_manifest_which_names_every_file(store: EventStore, out: Path, tmp_path: Path) -> None:
    folder = unpacked(b"".join(stream(summary(store, out), out)), tmp_path)
    subprocess.run(["sha256sum", "-c", "--strict", "--quiet", MANIFEST], cwd=folder, check=True, capture_output=True)
    listed = {line.split("  ")[1] for line in (folder / MANIFEST).read_text().splitlines()}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert listed == there - {MANIFEST}
    event = store.find()[0].event
    copy = folder / event.source / "events" / event.id / "clip.mp4"
    assert copy.read_bytes() == (out / event.source / "events" / event.id / "clip.mp4").read_bytes()


def test_the_same_report_gives_the_same_bytes(store: EventStore, out: Path) -> None:
    one = summary(store, out, cameras=["hall"], only=["hall"])
    assert hashlib.sha256(b"".join(stream(one, out))).digest() == hashlib.sha256(b"".join(stream(one, out))).digest()


def test_the_zip_comes_in_small_parts(store: EventStore, out: Path) -> None:
    parts = [len(part) for part in stream(summary(store, out), out)]
    assert max(parts) < 2**20
    assert len(parts) > 5


def test_scores_are_those_of_the_span(store: EventStore, out: Path) -> None:
    span = span_of(ENDED - timedelta(hours=1), ENDED - timedelta(minutes=30))
    content = b"".join(stream(summarize(store, out, out.parent / "scenes", span, cameras=["gate"], only=["gate"]), out))
    with ZipFile(io.BytesIO(content)) as zip:
        head, *rows = zip.read("gate/scores.csv").decode().splitlines()
    assert head.startswith("wall,")
    assert len(rows) == len(Recorded.read(out / "gate", span.since, span.until - timedelta(milliseconds=1)))
    assert all("2026-11-22T11:00:00.000Z" <= row[:24] < "2026-11-22T11:30:00.000Z" for row in rows)


def test_nothing_of_a_camera_that_is_left_out_is_in_it(store: EventStore, out: Path) -> None:
    content = b"".join(stream(summary(store, out, cameras=["gate"], only=["gate"]), out))
    with ZipFile(io.BytesIO(content)) as zip:
        assert not any("yard" in name or "hall" in name for name in zip.namelist())
        text = b"".join(zip.read(name) for name in zip.namelist() if not name.endswith((".mp4", ".jpg")))
    assert b"yard-2026" not in text
    assert b"hall-2026" not in text


def test_files_that_vanish_meanwhile_are_named_as_missing(store: EventStore, out: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(out, tmp_path / "watched")
    found = summary(store, copy)
    events = [one.stored.event for one in found.events]
    chunks = stream(found, copy)
    first = next(chunks)
    last = copy / events[-1].source / "events" / events[-1].id
    (last / "clip.mp4").unlink()
    (last / "overlay.mp4").unlink()
    (last / "overlay.mp4").symlink_to("/etc/hostname")
    with ZipFile(io.BytesIO(first + b"".join(chunks))) as zip:
        lines = zip.read(MISSING).decode().splitlines()
        assert [line.partition(":")[0].rpartition("/")[2] for line in lines] == ["clip.mp4", "overlay.mp4"]
        assert zip.testzip() is None
        assert zip.getinfo("events.json").compress_type != ZIP_STORED


def test_an_event_whose_recording_is_gone_is_in_the_page_and_named_as_missing(
    store: EventStore, out: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(out, tmp_path / "watched")
    event = store.find()[0].event
    shutil.rmtree(copy / event.source / "events" / event.id)
    found = summary(store, copy)
    assert "The recording is gone" in report_page(found)
    with ZipFile(io.BytesIO(b"".join(stream(found, copy)))) as zip:
        assert event.id in zip.read(MISSING).decode()


@pytest.mark.parametrize("text", ["../../etc/passwd", "/abs", "..", "", "a\nb", "C:\\x", "con", "ü" * 300, "a\\b  *c"])
def test_names_in_the_zip_are_plain(text: str) -> None:
    name = safe_name(text)
    assert name
    assert not re.search(r"[\\/\s:*?\"<>|]", name)
    assert not name.startswith(".")
    assert len(name.encode()) <= 200
    assert name.casefold() != "con"


def test_the_command_writes_both_files(store: EventStore, out: Path, tmp_path: Path) -> None:
    text = io.StringIO()
    job = ReportJob(
        store=f"sqlite:///{out / 'events.db'}",
        out=out,
        scenes=out.parent / "scenes",
        since="2026-11-22T10:00+00:00",
        until="2026-11-22T12:00+00:00",
        cameras=("gate",),
        page=tmp_path / "report.html",
        zip=tmp_path / "evidence.zip",
    )
    report(job, Console(file=text, width=200))
    assert "gate" in text.getvalue()
    assert "yard" not in (tmp_path / "report.html").read_text()
    with ZipFile(tmp_path / "evidence.zip") as zip:
        assert MANIFEST in zip.namelist()


def test_a_span_is_given_in_one_way() -> None:
    job = ReportJob(store="", out=Path(), scenes=Path(), week="2026-W48", since="1h")
    with pytest.raises(UserError, match="one way"):
        chosen_span(job, NOW)
