"""The events of a camera that another machine may have: this one says nothing of them, and leaves them to that one."""

from __future__ import annotations

from pathlib import Path
from random import Random

from msflow_stream.config.cameras import Cameras
from msflow_stream.events.recovery import OpenEventJournal
from msflow_stream.events.store import EventStore
from msflow_stream.types import LeaseMark
from msflow_stream.watch.camera_events import JOURNAL, CameraEvents
from msflow_stream.watch.event_router import DATABASE, EventRouter
from tests.support.events import WALL, event
from tests.support.watching import until


def closed(out: Path) -> list[float | None]:
    with EventStore(f"sqlite:///{out / DATABASE}") as store:
        return [one.event.end for one in store.find()]


def test_what_was_left_open_stays_open_until_this_machine_has_the_camera(tmp_path: Path) -> None:
    folder = tmp_path / "gate"
    folder.mkdir()
    OpenEventJournal(folder / JOURNAL).remember(event(end=2.0, end_wall=WALL))
    router = EventRouter(Cameras(cameras={}), tmp_path, Random(0), mark=lambda camera: None)
    CameraEvents("gate", folder, router, None).close(1)
    router.close(60)
    assert closed(tmp_path) == []
    assert len(OpenEventJournal(folder / JOURNAL).left_open) == 1


def test_what_is_published_has_the_mark_of_the_cameras_lease_and_alerts_do_not(tmp_path: Path) -> None:
    marks = {"gate": LeaseMark(3, WALL)}
    said = tmp_path / "said.jsonl"
    file = Cameras.model_validate({"cameras": {}, "alerts": {"guard": {"type": "jsonl", "file": str(said)}}})
    folder = tmp_path / "gate"
    folder.mkdir()
    OpenEventJournal(folder / JOURNAL).remember(event(end=2.0, end_wall=WALL))
    router = EventRouter(file, tmp_path, Random(0), queues=tmp_path / "node" / ".alerts", mark=marks.get)
    router._dispatcher.reroute({"gate": ["guard"]})
    CameraEvents("gate", folder, router, None).close(1)
    until(said.exists, "no alert comes")
    router.close(60)
    assert OpenEventJournal(folder / JOURNAL).left_open == []
    assert closed(tmp_path) == []  # no lease of this number was ever given
    assert '"lease"' not in said.read_text()
    assert (tmp_path / "node" / ".alerts" / "store.sqlite").exists()
