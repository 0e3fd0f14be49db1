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
from tests.support.rtsp import RtspCamera, need_server
from tests.support.stage import LINES, Stage, Told
from tests.support.street import frames_of, frames_so_far
from tests.support.watching import SOON, Watching, until


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


def test_a_sigkill_costs_no_score_and_the_next_start_closes_the_open_event(
    workplace: Workplace, prompt_scenes: Path, tmp_path: Path
) -> None:
    need_server()
    least = {"gate": 15, "calm": 50}  # frames that are recorded before the kill
    with Stage(workplace.folder / "normal.mp4", tmp_path) as stage, RtspCamera(tmp_path / "calm.units") as other:
        cameras = {"gate": stage.camera, "calm": {"url": other.url, "scene": "gate", "every": 1}}
        with Watching(tmp_path, prompt_scenes, cameras, "--record", alerts=LINES) as watch:
            told = Told(watch, stage)
            id = told.begin()
            for name, count in least.items():
                until(lambda name=name, count=count: frames_so_far(watch, name) >= count, "nothing is recorded")  # type: ignore[misc]
            watch.wait_for_scores("gate", 15)
            watch.end(signal.SIGKILL)
            stage.end()
            before = watch.rows("gate")
            clip = watch.out / "gate" / "events" / id / "clip.mp4"
            shown = frames_of(clip)
            left = {name: watch.recordings(name)[0] for name in cameras}
            scores = {name: (watch.out / name / "scores.csv").read_bytes() for name in cameras}
            watch.start()
            until(lambda: told.of(id)[-1][0] == "close", "nobody is told")
            until(lambda: stored(watch)[id].end is not None, "it stays open", pause=0.5)
            for name in cameras:
                watch.wait_for_scores(name, 10)
            assert watch.end() < SOON
    for name, count in least.items():
        whole = scores[name][: scores[name].rindex(b"\n") + 1]
        assert whole.count(b"\n") > frames_of(left[name]) >= count
        after = (watch.out / name / "scores.csv").read_bytes()
        assert after.startswith(whole)
        assert after.count(b"wall,") == 1
        assert len(watch.rows(name)) == after.count(b"\n") - 1  # each of them whole
        assert len(watch.recordings(name)) == 2
        assert frames_of(watch.recordings(name)[1]) >= 10
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
