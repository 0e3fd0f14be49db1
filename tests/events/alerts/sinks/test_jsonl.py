"""Messages as lines, in files that are put aside when they are full, and on standard output."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from msflow_stream.events.alerts.sinks.base import Retry
from msflow_stream.events.alerts.sinks.jsonl import JsonLines
from msflow_stream.events.serialization import from_json
from msflow_stream.types import EventMessage
from tests.events.alerts.said import life, say, settings
from tests.support.small_disk import fill, small_disk


def read(*paths: Path) -> list[EventMessage]:
    return [from_json(json.loads(line)) for path in paths for line in path.read_text().splitlines()]


def test_each_message_is_a_line(tmp_path: Path) -> None:
    sink = JsonLines(settings(type="jsonl", file=tmp_path / "new" / "events.jsonl"))
    for message in life():
        sink.deliver(message)
    assert read(tmp_path / "new" / "events.jsonl") == life()


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    sink = JsonLines(settings(type="jsonl"))
    for message in life():
        sink.deliver(message)
    assert [from_json(json.loads(line)) for line in capsys.readouterr().out.splitlines()] == life()


def test_full_files_are_put_aside_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLines(settings(type="jsonl", file=path, max_bytes=2000, keep=2))
    messages = [say("open", f"e{number}") for number in range(40)]
    for message in messages:
        sink.deliver(message)
    files = [tmp_path / "events.jsonl.2", tmp_path / "events.jsonl.1", path]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert max(file.stat().st_size for file in files) <= 2000
    kept = read(*files)
    assert kept == messages[-len(kept) :]
    assert len(kept) > 4


def test_a_line_that_a_kill_cut_off_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLines(settings(type="jsonl", file=path))
    sink.deliver(say("open"))
    with path.open("a") as file:
        file.write('{"kind": "upd')
    sink.deliver(say("close"))
    assert read(path) == [say("open"), say("close")]


def test_a_full_disk_is_waited_for_and_leaves_whole_lines(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 65_536) as disk:
        sink = JsonLines(settings(type="jsonl", file=disk / "events.jsonl"))
        sink.deliver(say("open"))
        filler = fill(disk)
        for _ in range(100):  # the page that is begun has some room left
            with suppress(Retry):
                sink.deliver(say("open"))
        with pytest.raises(Retry, match="No space left"):
            sink.deliver(say("open"))
        whole = read(disk / "events.jsonl")
        assert whole == [say("open")] * len(whole)
        filler.unlink()
        sink.deliver(say("close"))
        assert read(disk / "events.jsonl")[-1] == say("close")
