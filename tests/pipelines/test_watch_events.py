"""Events of a watch: told and stored once, with pictures beside them, and closed after a crash."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.events.store import EventStore
from msflow_stream.video.reader import VideoReader
from tests.pipelines.conftest import Workplace
from tests.support.command import Command
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.watching import Watching, until

LINES = {"lines": {"type": "jsonl", "file": "told.jsonl"}}


def told(folder: Path) -> list[dict[str, Any]]:
    path = folder / "told.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stored(watch: Watching) -> dict[str, Any]:
    with EventStore(f"sqlite:///{watch.out / 'events.db'}") as store:
        return {one.event.id: one.event for one in store.find()}


def test_an_event_of_a_file_is_told_stored_and_shown(workplace: Workplace, tmp_path: Path, command: Command) -> None:
    cameras = {"clip": {"url": str(workplace.clips / "first.mp4"), "scene": "gate"}}
    with Watching(tmp_path, workplace.scenes, cameras, alerts=LINES) as watch:
        assert watch.process.wait(60) == 0
    messages = told(tmp_path)
    ids = {message["event"]["id"] for message in messages}
    assert ids
    for id in ids:
        kinds = [message["kind"] for message in messages if message["event"]["id"] == id]
        assert (kinds[0], kinds[-1], kinds.count("open"), kinds.count("close")) == ("open", "close", 1, 1)
        folder = watch.out / "clip" / "events" / id
        assert {"event.json", "clip.mp4", "overlay.mp4", "snapshot.jpg"} <= {path.name for path in folder.iterdir()}
        with VideoReader(folder / "clip.mp4") as clip:
            assert sum(1 for _ in clip) > 0
    found = stored(watch)
    assert set(found) == ids
    assert any(1 <= event.start <= 2.5 for event in found.values())  # the cart's
    assert all(event.end is not None for event in found.values())
    shown = command("events", "show", next(iter(ids)), "--out", watch.out)
    assert shown.code == 0
    assert "clip.mp4" in shown.out.replace("\n", "")
    assert command("events", "label", next(iter(ids)), "violation", "--out", watch.out).code == 0
    exported = command("events", "export", "--format", "csv", "--out", watch.out)
    assert "violation" in exported.out


def test_an_event_that_is_open_at_a_sigkill_is_closed_at_the_next_start(workplace: Workplace, tmp_path: Path) -> None:
    need_server()
    units = write_units(workplace.clips / "first.mp4", tmp_path / "first.units")
    with RtspCamera(units) as camera:
        cameras = {"gate": {"url": camera.url, "scene": "gate"}}
        with Watching(tmp_path, workplace.scenes, cameras, alerts=LINES) as watch:
            id = until(
                lambda: next((m["event"]["id"] for m in told(tmp_path) if m["kind"] == "open"), None), "no event"
            )
            watch.end(signal.SIGKILL)
            watch.configure({"other": {"url": str(workplace.clips / "second.mp4"), "scene": "gate"}, **cameras})
            watch.start()
            closes = [m for m in told(tmp_path) if m["event"]["id"] == id and m["kind"] == "close"]
            until(lambda: stored(watch)[id].end is not None, "it stays open")
            until(lambda: id in {m["event"]["id"] for m in told(tmp_path) if m["kind"] == "close"}, "nobody is told")
            assert watch.end() < 10
    closes = [m["event"] for m in told(tmp_path) if m["event"]["id"] == id and m["kind"] == "close"]
    assert len({(event["id"], event["version"]) for event in closes}) == 1  # told again, it is the same
    assert closes[0]["end"] >= closes[0]["start"]
    assert [path.name for path in (watch.out / "gate" / "events" / id).glob("event.json")]


@pytest.mark.parametrize("wrong", ["store: mysql://a/b", "alerts: {lines: {type: jsonl, fil: x}}"])
def test_a_mistake_about_events_is_one_line(workplace: Workplace, tmp_path: Path, command: Command, wrong: str) -> None:
    watch = Watching(tmp_path, workplace.scenes, {"gate": {"url": "x.mp4", "scene": "gate"}})
    watch.config.write_text(watch.config.read_text() + wrong)
    outcome = command("watch", watch.config, "--scenes", workplace.scenes, "--out", watch.out, "--http", "off")
    assert outcome.code == 2
    assert len(outcome.err.strip().splitlines()) == 1
