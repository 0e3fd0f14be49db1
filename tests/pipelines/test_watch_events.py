"""Events of a watch: told and stored once, with pictures beside them, and closed after a crash."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.events.recovery import REFRESH_SECONDS
from msflow_stream.events.store import EventStore
from msflow_stream.video.reading.video_reader import VideoReader
from tests.pipelines.conftest import Workplace
from tests.support.command import Command
from tests.support.rtsp import need_server
from tests.support.stage import LINES, Stage, Told, fit_scene
from tests.support.street import frames_of
from tests.support.watching import Watching, until


def stored(watch: Watching) -> dict[str, Any]:
    with EventStore(f"sqlite:///{watch.out / 'events.db'}") as store:
        return {one.event.id: one.event for one in store.find()}


def test_an_event_of_a_file_is_told_stored_and_shown(workplace: Workplace, tmp_path: Path, command: Command) -> None:
    cameras = {"clip": {"url": str(workplace.clips / "first.mp4"), "scene": "gate"}}
    with Watching(tmp_path, workplace.scenes, cameras, alerts=LINES) as watch:
        assert watch.process.wait(60) == 0
    messages = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
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
    normal = workplace.folder / "normal.mp4"
    scenes = fit_scene(normal, tmp_path / "scenes")
    with (
        Stage(normal, tmp_path) as stage,
        Watching(tmp_path, scenes, {"gate": stage.camera}, alerts=LINES) as watch,
    ):
        told = Told(watch, stage)
        id = told.begin()
        watch.wait_for_scores("gate", 15)
        watch.end(signal.SIGKILL)
        stage.end()
        before = watch.rows("gate")
        clip = watch.out / "gate" / "events" / id / "clip.mp4"
        shown = frames_of(clip)
        watch.start()
        until(lambda: told.of(id)[-1][0] == "close", "nobody is told")
        until(lambda: stored(watch)[id].end is not None, "it stays open")
        assert watch.end() < 10
    closes = [message["event"] for message in told.messages if message["kind"] == "close"]
    assert {(event["id"], event["version"]) for event in closes} == {(id, told.of(id)[-1][1])}  # told again it is equal
    active = [float(row["time"]) for row in before if row["alarm"] == "1"]
    assert active[-1] - REFRESH_SECONDS - 0.2 <= closes[0]["end"] <= active[-1]
    assert {one: event.version for one, event in stored(watch).items()} == {id: closes[0]["version"]}
    assert stored(watch)[id].end == closes[0]["end"]
    assert shown >= 25  # of the 75 and more that came
    assert frames_of(clip) == shown
    assert json.loads(clip.with_name("event.json").read_text())["event"]["end"] == closes[0]["end"]


@pytest.mark.parametrize("wrong", ["store: mysql://a/b", "alerts: {lines: {type: jsonl, fil: x}}"])
def test_a_mistake_about_events_is_one_line(workplace: Workplace, tmp_path: Path, command: Command, wrong: str) -> None:
    watch = Watching(tmp_path, workplace.scenes, {"gate": {"url": "x.mp4", "scene": "gate"}})
    watch.config.write_text(watch.config.read_text() + wrong)
    outcome = command("watch", watch.config, "--scenes", workplace.scenes, "--out", watch.out, "--http", "off")
    assert outcome.code == 2
    assert len(outcome.err.strip().splitlines()) == 1
