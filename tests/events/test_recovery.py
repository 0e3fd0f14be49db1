from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from random import Random

import pytest

from msflow_stream.events.recovery import REFRESH_SECONDS, OpenEventJournal
from msflow_stream.events.serialization import from_json
from msflow_stream.types import Event, EventMessage
from tests.events.detection.detecting import START, detector, scored
from tests.events.recording import Sent, close_what_is_open, record
from tests.support.small_disk import small_disk

ROUNDS = 6
PATIENCE = 60.0  # seconds, on a busy machine


def standing(frames: int = 5, number: int = 0) -> Event:
    """An event as it stands after so many frames."""
    gate = detector()
    for frame in range(frames):
        gate.update(scored(number + frame, 3.0, live=True))
    assert gate.open_event is not None
    return gate.open_event


def later(event: Event, seconds: float) -> Event:
    assert event.end is not None
    assert event.end_wall is not None
    return replace(event, end=event.end + seconds, end_wall=event.end_wall + timedelta(seconds=seconds))


def closes(event: Event) -> EventMessage:
    return EventMessage("close", replace(event, version=event.version + 1))


def test_without_a_journal_nothing_was_left_open(tmp_path: Path) -> None:
    assert OpenEventJournal(tmp_path / "journal.json").left_open == []
    assert list(tmp_path.iterdir()) == []


def test_an_event_that_was_open_is_closed_with_its_last_activity_and_a_version_of_its_own(tmp_path: Path) -> None:
    event = standing()
    OpenEventJournal(tmp_path / "journal.json").remember(event)
    assert OpenEventJournal(tmp_path / "journal.json").left_open == [closes(event)]
    assert event.end is not None


def test_what_was_left_open_comes_again_until_it_is_forgotten(tmp_path: Path) -> None:
    OpenEventJournal(tmp_path / "journal.json").remember(standing())
    [message] = OpenEventJournal(tmp_path / "journal.json").left_open
    journal = OpenEventJournal(tmp_path / "journal.json")
    assert journal.left_open == [message]
    journal.remember(standing(number=100))
    journal.forget(message)
    assert [one.event.id for one in OpenEventJournal(tmp_path / "journal.json").left_open] == [standing(number=100).id]


def test_an_event_that_is_closed_is_remembered_no_longer(tmp_path: Path) -> None:
    journal, event = OpenEventJournal(tmp_path / "journal.json"), standing()
    journal.remember(event)
    journal.forget(EventMessage("update", event))
    assert len(OpenEventJournal(tmp_path / "journal.json").left_open) == 1
    journal.forget(closes(event))
    assert OpenEventJournal(tmp_path / "journal.json").left_open == []


def test_an_event_that_goes_on_is_written_with_every_version_and_every_few_seconds(tmp_path: Path) -> None:
    journal, event = OpenEventJournal(tmp_path / "journal.json"), standing()

    def known() -> EventMessage:
        [message] = OpenEventJournal(tmp_path / "journal.json").left_open
        return message

    journal.remember(event)
    journal.remember(later(event, REFRESH_SECONDS - 0.1))
    assert known() == closes(event)
    journal.remember(later(event, REFRESH_SECONDS))
    assert known() == closes(later(event, REFRESH_SECONDS))
    newer = replace(later(event, REFRESH_SECONDS + 0.1), version=7)
    journal.remember(newer)
    assert known() == closes(newer)


def test_remembering_nothing_changes_nothing(tmp_path: Path) -> None:
    journal = OpenEventJournal(tmp_path / "journal.json")
    journal.remember(standing())
    journal.remember(None)
    assert len(OpenEventJournal(tmp_path / "journal.json").left_open) == 1


@pytest.mark.parametrize("content", [b"", b"[{", b"\xff\xfe", b"{}", b"[1]", b'[{"id": "x"}]', b"[" * 100_000])
def test_a_damaged_journal_is_set_aside_and_the_next_is_written(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.json"
    path.write_bytes(content)
    journal = OpenEventJournal(path)
    assert journal.left_open == []
    assert (tmp_path / "journal.json.damaged").read_bytes() == content
    assert f"{path} cannot be read" in caplog.text
    journal.remember(standing())
    assert OpenEventJournal(path).left_open == [closes(standing())]


def test_an_event_that_was_written_without_an_end_is_closed_with_its_start(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    OpenEventJournal(path).remember(standing())
    values = json.loads(path.read_text())
    values[0] |= {"end": None, "end_wall": None}
    path.write_text(json.dumps(values))
    [message] = OpenEventJournal(path).left_open
    assert (message.event.end, message.event.end_wall) == (message.event.start, START)


def test_a_full_disk_costs_the_journal_alone_and_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(tmp_path / "disk", 64 * 1024) as disk:
        journal, event = OpenEventJournal(disk / "journal.json"), standing()
        journal.remember(event)
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(128 * 1024))
        journal.remember(replace(event, version=2))
        journal.remember(replace(event, version=3))
        assert caplog.text.count("cannot be written") == 1
        assert OpenEventJournal(disk / "journal.json").left_open == [closes(event)], "what was there is whole"
        filler.unlink()
        journal.remember(replace(event, version=4))
        assert OpenEventJournal(disk / "journal.json").left_open == [closes(replace(event, version=4))]


@contextmanager
def camera(folder: Path, day: int) -> Iterator[None]:
    """One that is killed at the end."""

    def run() -> None:
        record(OpenEventJournal(folder / "journal.json"), Sent(folder / "sent"), day)

    process = get_context("fork").Process(target=run)
    process.start()
    try:
        yield
        assert process.is_alive()
    finally:
        process.kill()
        process.join()


def test_after_any_kill_every_event_that_was_opened_is_closed_once(tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.touch()
    random, left_open = Random(5), 0
    for day in range(ROUNDS):
        size, deadline = sent.stat().st_size, time.monotonic() + PATIENCE
        with camera(tmp_path, day):
            while sent.stat().st_size < size + 2000:
                assert time.monotonic() < deadline, "the camera finds nothing"
                time.sleep(0.01)
            time.sleep(random.uniform(0, 0.1))  # the moment is left to chance
        left_open += len(OpenEventJournal(tmp_path / "journal.json").left_open)
    assert left_open, "or this test shows nothing"
    close_what_is_open(OpenEventJournal(tmp_path / "journal.json"), Sent(sent))
    lives = lives_of([from_json(json.loads(line)) for line in sent.read_text().splitlines()])
    assert len({life[0].event.id.split("-")[1][:8] for life in lives}) == ROUNDS, "every camera found some"
    for life in lives:
        kinds, versions = [m.kind for m in life], [m.event.version for m in life]
        assert kinds.count("close") == 1
        assert kinds[-1] == "close"
        assert versions == sorted(set(versions))
        assert life[-1].event.end is not None
        assert life[-1].event.end >= life[-1].event.start
    unopened = [life for life in lives if life[0].kind != "open"]
    assert len(unopened) <= ROUNDS, "killed between remembering and sending"


def lives_of(messages: list[EventMessage]) -> list[list[EventMessage]]:
    """The messages of each event, as who knows ids and versions takes them."""
    lives: dict[str, dict[int, EventMessage]] = {}
    for message in messages:
        lives.setdefault(message.event.id, {}).setdefault(message.event.version, message)
    return [list(life.values()) for life in lives.values()]
