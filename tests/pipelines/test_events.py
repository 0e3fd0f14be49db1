from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from msflow_stream.events.evidence.event_folder import remove_old_events, write_event
from msflow_stream.events.serialization import from_json
from msflow_stream.events.store import EventFilter, EventStore
from msflow_stream.files import Retention
from msflow_stream.types import UserError
from pipelines.events import export, keep, label, list_events, show
from tests.support.events import WALL, message
from tests.support.postgres import postgres_server, store_url

__all__ = ["postgres_server", "store_url"]
ALL = EventFilter()


class Terminal(Console):
    """A wide terminal whose text can be read."""

    def __init__(self) -> None:
        super().__init__(file=io.StringIO(), width=200)

    @property
    def text(self) -> str:
        assert isinstance(self.file, io.StringIO)
        return self.file.getvalue()


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def in_kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is 5:45 h before UTC."""
    with monkeypatch.context() as change:
        change.setenv("TZ", "XXX-05:45")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def filled(store_url: str) -> str:
    """The address of a store with an open event of a camera, an older one that is over, and one of a file."""
    with EventStore(store_url) as store:
        older = {"start_wall": WALL - timedelta(hours=1), "end": 12.75, "version": 9, "severity": "high"}
        store.save(message("gate-1", **older, probability=2e-7))
        store.save(message("gate-2"))
        store.save(message("clip-1", source="clip", start=83.44, end=90.0, start_wall=None, probability=None))
        store.label("gate-1", "violation")
    return store_url


def cells(line: str) -> list[str]:
    """Of a line of a table, without its frame."""
    return [cell.strip() for cell in line.strip("│").split("│")]


@pytest.mark.usefixtures("in_kathmandu")
def test_the_list_says_when_it_was_here_how_bad_and_what_was_said(filled: str, terminal: Terminal) -> None:
    list_events(filled, ALL, terminal)
    rows = [cells(line) for line in terminal.text.splitlines() if line.startswith("│")]
    assert rows == [
        ["clip", "at 0:01:23.4", "6.6 s", "medium", "paper+surprise", "3.50", "–", "–", "clip-1", "–"],
        ["gate", "2026-01-02 08:49:05", "open", "medium", "paper+surprise", "3.50", "0.001", "–", "gate-2", "–"],
        [
            "gate",
            "2026-01-02 07:49:05",
            "12.6 s",
            "high",
            "paper+surprise",
            "3.50",
            "2e-07",
            "violation",
            "gate-1",
            "–",
        ],
    ]
    assert terminal.text.startswith("3 events")


def test_the_list_is_of_what_was_asked_for(filled: str, terminal: Terminal) -> None:
    list_events(filled, EventFilter(camera="gate", limit=1), terminal)
    assert "gate-2" in terminal.text
    assert "gate-1" not in terminal.text
    assert terminal.text.splitlines()[0].strip() == "1 event"


def test_a_list_with_nothing_in_it_says_so(filled: str, store_url: str, terminal: Terminal) -> None:
    list_events(filled, EventFilter(camera="nowhere"), terminal)
    assert "no such events in" in terminal.text
    assert "s3cret" not in terminal.text


def test_a_store_with_nothing_in_it_says_so(store_url: str, terminal: Terminal) -> None:
    with EventStore(store_url) as store:
        store.open()
    list_events(store_url, EventFilter(limit=20), terminal)
    assert terminal.text.startswith("no events in ")


def test_names_that_look_like_commands_are_shown_as_they_are(store_url: str, terminal: Terminal) -> None:
    with EventStore(store_url) as store:
        store.save(message("a-[bold]-1", source="[red]yard[/red]\x1b[2J"))
    list_events(store_url, ALL, terminal)
    show(store_url, "a-", Path("watched"), terminal)
    label(store_url, "a-", "normal", None, terminal)
    assert terminal.text.count("a-[bold]-1") == 3
    assert terminal.text.count("[red]yard[/red] [2J") == 2
    assert "\x1b" not in terminal.text


def test_show_tells_all_of_an_event_and_where_its_files_are(filled: str, tmp_path: Path, terminal: Terminal) -> None:
    folder = tmp_path / "gate" / "events" / "gate-1"
    folder.mkdir(parents=True)
    (folder / "clip.mp4").touch()
    show(filled, "gate-1", tmp_path, terminal)
    for said in (
        "yard",
        "violation",
        "2e-07",
        "12.6 s",
        "0:00:00.4, frame 10",
        "x 5 y 6, 7 x 8",
        "goes when it is old",
    ):
        assert said in terminal.text
    assert "x 1 y 2, 3 x 4 at 0:00:00.2 to x 2 y 2, 3 x 4 at 0:00:00.4" in terminal.text
    assert str(folder / "clip.mp4") in terminal.text


def test_a_label_is_set_and_taken_back_by_the_start_of_an_id(filled: str, terminal: Terminal) -> None:
    label(filled, "clip", "normal", None, terminal)
    assert terminal.text == "clip-1 is labelled normal\n"
    with EventStore(filled) as store:
        assert store.get("clip-1").label == "normal"
        label(filled, "clip", None, None, terminal)
        assert store.get("clip-1").label is None
    assert terminal.text.endswith("clip-1 has no label now\n")


def test_an_event_that_nobody_is_sure_of_has_a_note_and_is_found_by_its_label(
    filled: str, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    label(filled, "clip", "unsure", "a [cat]?", terminal)
    assert terminal.text == "clip-1 is labelled unsure, with the note: a [cat]?\n"
    show(filled, "clip", Path(), terminal)
    assert "by command line at 20" in terminal.text
    label(filled, "clip", "unsure", None, terminal)
    export(filled, EventFilter(label="unsure"), "json", None, Path(), terminal)
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["event"]["id"], one["note"], one["labelled_by"]) == ("clip-1", "a [cat]?", "command line")
    label(filled, "clip", "normal", "", terminal)
    with EventStore(filled) as store:
        assert store.get("clip-1").note is None


def test_what_is_kept_stays_though_it_is_old_until_that_is_taken_back(
    filled: str, tmp_path: Path, terminal: Terminal
) -> None:
    folder = tmp_path / "gate" / "events"
    for id in ("gate-1", "gate-2"):
        (folder / id).mkdir(parents=True)
    write_event(folder / "gate-1", message("gate-1", end=1.0, version=9), {})
    write_event(folder / "gate-2", message("gate-2"), {})

    def left() -> set[str]:
        remove_old_events(folder, Retention(keep_days=0.0), datetime.now(UTC) + timedelta(days=1))
        return {path.name for path in folder.iterdir()}

    keep(filled, "gate-1", True, tmp_path, terminal)
    assert terminal.text == "gate-1 is kept\n"
    assert left() == {"gate-1"}
    with EventStore(filled) as store:
        assert store.kept_ids() == {"gate-1"}
        show(filled, "gate-1", tmp_path, terminal)
        assert "is kept" in terminal.text.removeprefix("gate-1 is kept")
        keep(filled, "gate-1", False, tmp_path, terminal)
        assert store.kept_ids() == frozenset()
    assert "gate-1 is no longer kept" in terminal.text
    assert left() == set()


def test_an_event_is_kept_where_its_files_are_not(filled: str, tmp_path: Path, terminal: Terminal) -> None:
    keep(filled, "clip", True, tmp_path, terminal)
    assert f"clip-1 is kept; there is no evidence of it in {tmp_path}" in terminal.text
    with EventStore(filled) as store:
        assert store.kept_ids() == {"clip-1"}
    assert list(tmp_path.glob("clip*")) == []


def test_csv_and_json_are_written_to_stdout_or_a_file(
    filled: str, tmp_path: Path, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    export(filled, ALL, "csv", None, tmp_path, terminal)
    assert [row["id"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))] == ["clip-1", "gate-2", "gate-1"]
    assert terminal.text == ""
    export(filled, EventFilter(severity="high"), "json", tmp_path / "events.json", tmp_path, terminal)
    (one,) = json.loads((tmp_path / "events.json").read_text())
    assert (from_json(one).event.id, one["label"]) == ("gate-1", "violation")
    assert "1 event in" in terminal.text
    assert capsys.readouterr().out == ""


def test_coco_says_which_events_are_left_out(filled: str, tmp_path: Path, terminal: Terminal) -> None:
    folder = tmp_path / "gate" / "events" / "gate-2"
    folder.mkdir(parents=True)
    Image.new("RGB", (32, 20)).save(folder / "snapshot.jpg")
    export(filled, ALL, "coco", tmp_path / "coco.json", tmp_path, terminal)
    assert [one["event_id"] for one in json.loads((tmp_path / "coco.json").read_text())["images"]] == ["gate-2"]
    assert "left out, as the snapshot is gone: 2 events" in terminal.text


def test_an_export_of_nothing_is_a_valid_file_and_says_so(
    filled: str, tmp_path: Path, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    export(filled, EventFilter(camera="nowhere"), "json", None, tmp_path, terminal)
    assert json.loads(capsys.readouterr().out) == []
    assert "no events in the export" in terminal.text


def test_an_export_that_cannot_be_written_is_an_error_of_one_line(
    filled: str, tmp_path: Path, terminal: Terminal
) -> None:
    with pytest.raises(UserError, match=r"cannot write .*: No such file or directory"):
        export(filled, ALL, "csv", tmp_path / "nowhere" / "a.csv", tmp_path, terminal)


@pytest.mark.parametrize(
    "verb",
    [
        lambda url, console: list_events(url, ALL, console),
        lambda url, console: show(url, "a", Path(), console),
        lambda url, console: export(url, ALL, "csv", None, Path(), console),
        lambda url, console: label(url, "a", "normal", None, console),
        lambda url, console: keep(url, "a", True, Path(), console),
    ],
    ids=["list", "show", "export", "label", "keep"],
)
def test_a_file_that_is_not_there_is_not_made(
    verb: Callable[[str, Console], None], tmp_path: Path, terminal: Terminal
) -> None:
    with pytest.raises(UserError, match=r"no event store sqlite:///.*/typo\.db: `msflow-stream watch` makes one"):
        verb(f"sqlite:///{tmp_path}/typo.db", terminal)
    assert list(tmp_path.iterdir()) == []
