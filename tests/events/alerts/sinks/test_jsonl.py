"""Messages as lines, in files that are put aside when they are full, and on standard output."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from msflow_stream.events.alerts.sinks.base import AlertMessage, Retry, SinkContext
from msflow_stream.events.alerts.sinks.jsonl import JsonLines
from tests.events.alerts.messages import a_message, life, settings
from tests.support.small_disk import fill, small_disk


def read(*paths: Path) -> list[AlertMessage]:
    return [AlertMessage.read(line) for path in paths for line in path.read_text().splitlines()]


def test_each_message_is_a_line(tmp_path: Path) -> None:
    sink = JsonLines(settings(type="jsonl", file=tmp_path / "new" / "events.jsonl"), SinkContext())
    for message in life():
        sink.write(message)
    assert read(tmp_path / "new" / "events.jsonl") == life()


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    sink = JsonLines(settings(type="jsonl"), SinkContext())
    for message in life():
        sink.write(message)
    assert [AlertMessage.read(line) for line in capsys.readouterr().out.splitlines()] == life()


def test_full_files_are_put_aside_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLines(settings(type="jsonl", file=path, max_bytes=2000, keep=2), SinkContext())
    messages = [a_message("open", f"e{number}") for number in range(40)]
    for message in messages:
        sink.write(message)
    files = [tmp_path / "events.jsonl.2", tmp_path / "events.jsonl.1", path]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert max(file.stat().st_size for file in files) <= 2000
    kept = read(*files)
    assert kept == messages[-len(kept) :]
    assert len(kept) > 4


def test_a_line_that_a_kill_cut_off_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLines(settings(type="jsonl", file=path), SinkContext())
    sink.write(a_message("open"))
    with path.open("a") as file:
        file.write('{"kind": "upd')
    sink.write(a_message("close"))
    assert read(path) == [a_message("open"), a_message("close")]


def test_a_full_disk_is_waited_for_and_leaves_whole_lines(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 65_536) as disk:
        sink = JsonLines(settings(type="jsonl", file=disk / "events.jsonl"), SinkContext())
        sink.write(a_message("open"))
        filler = fill(disk)
        for _ in range(100):  # the page that is begun has some room left
            with suppress(Retry):
                sink.write(a_message("open"))
        with pytest.raises(Retry, match="No space left"):
            sink.write(a_message("open"))
        whole = read(disk / "events.jsonl")
        assert whole == [a_message("open")] * len(whole)
        filler.unlink()
        sink.write(a_message("close"))
        assert read(disk / "events.jsonl")[-1] == a_message("close")
