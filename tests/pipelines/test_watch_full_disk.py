"""A disk that is full while an event lasts: the scores go on, what is lost is counted, and all is well with room."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from msflow_stream.events.evidence.event_folder import OURS
from msflow_stream.events.store import EventStore
from tests.pipelines.conftest import Workplace
from tests.support.rtsp import need_server
from tests.support.small_disk import fill, small_disk
from tests.support.stage import LINES, Stage, Told
from tests.support.street import frames_of
from tests.support.watching import SOON, Watching, until

LOST = {"camera": "gate", "sink": "evidence", "cause": "disk"}


def check_whole(folder: Path) -> None:
    """Every file of an event's evidence is one that can be used."""
    for path in folder.iterdir():
        assert OURS.fullmatch(path.name)
        if path.suffix == ".jpg":
            with Image.open(path) as picture:
                picture.load()
        elif path.suffix == ".json":
            json.loads(path.read_text())
        else:
            assert path.suffix == ".mp4"
            assert frames_of(path) > 0
        assert "partial" not in path.name


def test_a_disk_that_gets_full_in_mid_event_costs_files_and_no_score(
    workplace: Workplace, prompt_scenes: Path, tmp_path: Path
) -> None:
    need_server()
    with small_disk(tmp_path / "small", 4 << 20) as disk, Stage(workplace.folder / "normal.mp4", tmp_path) as stage:
        with Watching(disk, prompt_scenes, {"gate": stage.camera}, "--keep-free-gib", "0", alerts=LINES) as watch:
            told, events = Told(watch, stage), watch.out / "gate" / "events"
            first = told.begin()
            until(lambda: (events / first / "clip.mp4").exists(), "no clip is begun")
            filler = fill(disk)
            watch.wait_for("msflow_sink_lost_total", 2, **LOST)  # the clip and its overlay
            stage.end()
            watch.wait_for_scores("gate", 10)
            filler.unlink()
            told.end(first)
            second = told.begin()
            told.end(second)
            until(lambda: is_finished(events / second), "the clip is not finished")
            lost = watch.metric("msflow_sink_lost_total", **LOST)
            assert watch.total("msflow_reconnects_total") == 0
            assert watch.end() < SOON
        assert "evidence:disk" in watch.said()
        for id in (first, second):
            check_whole(events / id)
        assert {"clip.mp4", "overlay.mp4", "snapshot.jpg"} <= {path.name for path in (events / second).iterdir()}
        assert json.loads((events / second / "event.json").read_text())["evidence"]["notes"] == []
        assert lost >= 2
        with EventStore(f"sqlite:///{watch.out / 'events.db'}") as store:
            stored = {one.event.id: one.event.end for one in store.find()}
    assert stored.keys() == {first, second}
    assert None not in stored.values()


def is_finished(folder: Path) -> bool:
    """Whether the evidence of an event is complete: it is told, and nothing is written any more."""
    path = folder / "event.json"
    return path.exists() and json.loads(path.read_text())["kind"] == "close"
