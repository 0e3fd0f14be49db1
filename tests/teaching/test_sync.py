from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from msflow_stream.config.cameras import Camera
from msflow_stream.config.teaching import Teaching
from msflow_stream.events.evidence.event_folder import WHOLE, write_event
from msflow_stream.events.store import EventStore, Label
from msflow_stream.scenes.exchange import hidden_folder
from msflow_stream.teaching.exceptions import Exceptions
from msflow_stream.teaching.layout import begun_file, normal_folder, teach_folder, wanted_file
from msflow_stream.teaching.progress import Progress
from msflow_stream.teaching.sync import is_wanted, news, sync, untried_violations
from msflow_stream.teaching.taught import NO_CLIP, PRIVATE, Taught
from msflow_stream.teaching.versions import Versions
from msflow_stream.types import Event, EventMessage, UserError
from tests.support.events import event
from tests.support.killed import run_killed
from tests.support.small_scenes import small_scene

NOW = datetime(2026, 1, 3, tzinfo=UTC)
AREA = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5))
SETTINGS = Teaching(wait="10m")


class Place:
    """A scene named yard, a store, and the folder of a watch with a camera named gate."""

    def __init__(self, folder: Path) -> None:
        self.scenes, self.out = folder / "scenes", folder / "watched"
        self.scene = small_scene(self.scenes / "yard", "first", b"first")
        self.store = EventStore(f"sqlite:///{folder / 'events.db'}")
        self.cameras = {"gate": camera()}

    @property
    def taught(self) -> Taught:
        return Taught(self.scene)

    @property
    def kept(self) -> dict[str, str]:
        return {one.id: one.label for one in self.taught.entries}

    def event(self, id: str, *, clip: bytes = b"clip", notes: tuple[str, ...] = (), **changes: object) -> Event:
        over = {"end": 9.0, "end_wall": NOW - timedelta(hours=1), "version": 2}
        made = event(id, **{**over, **changes})
        self.store.save(EventMessage("close", made))
        folder = self.out / made.source / "events" / id
        folder.mkdir(parents=True)
        (folder / "clip.mp4").write_bytes(clip)
        (folder / "snapshot.jpg").write_bytes(b"snapshot")
        parts = [{"file": "clip.mp4", "start": 0.0, "end": 12.0, "copied": True}]
        write_event(folder, EventMessage("close", made), {"clips": parts, "overlays": [], "notes": list(notes)})
        return made

    def sync(self, settings: Teaching = SETTINGS) -> tuple[str, ...]:
        return sync(self.store, self.out, self.scenes, self.cameras, settings, NOW)

    def labelled(self, id: str, label: Label = "normal", **changes: object) -> None:
        self.event(id, **changes)
        self.store.label(id, label, by="ada")


def camera(**changes: object) -> Camera:
    return Camera.model_validate({"url": "rtsp://gate", "scene": "yard", **changes})


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with made.store:
        yield made


def test_an_event_with_a_label_is_kept_with_its_clips_whatever_becomes_of_the_evidence(place: Place) -> None:
    place.labelled("gate-1")
    place.event("gate-2")
    place.labelled("gate-3", "unsure")
    assert place.sync() == ("yard",)
    shutil.rmtree(place.out)
    assert place.sync() == ()
    (kept,) = place.taught.entries
    stored = place.store.get("gate-1")
    assert (kept.id, kept.label, kept.source, kept.event) == ("gate-1", "normal", "gate", stored.event)
    assert (kept.labelled_by, kept.labelled_at, kept.happened) == ("ada", stored.labelled_at, stored.happened)
    assert [(clip.path.read_bytes(), clip.start, clip.end) for clip in kept.clips] == [(b"clip", 0.0, 12.0)]
    assert [path.name for path in kept.stills] == ["snapshot.jpg"]
    assert kept.obstacle is None
    assert kept.span == (0.2, 9.0)


def test_a_scene_that_cannot_be_written_beside_holds_up_no_other(place: Place) -> None:
    attic = small_scene(place.scenes / "attic", "first", b"first")
    hidden_folder(attic).write_text("in the way")
    place.labelled("gate-0", scene="attic")
    place.labelled("gate-1")
    with pytest.raises(UserError, match="attic"):
        place.sync()
    assert place.kept == {"gate-1": "normal"}


def test_nothing_is_written_where_nothing_changed(place: Place) -> None:
    place.labelled("gate-1")
    place.sync()
    before = {path: path.stat().st_mtime_ns for path in hidden_folder(place.scene).rglob("*")}
    assert place.sync() == ()
    assert {path: path.stat().st_mtime_ns for path in hidden_folder(place.scene).rglob("*")} == before


def test_a_label_that_is_taken_back_takes_the_event_out_and_another_label_changes_it(place: Place) -> None:
    place.labelled("gate-1")
    place.labelled("gate-2")
    place.sync()
    place.store.label("gate-1", None, by="bob")
    place.store.label("gate-2", "violation", by="bob")
    assert place.sync() == ("yard",)
    assert place.kept == {"gate-2": "violation"}
    assert place.taught.entries[0].labelled_by == "bob"
    place.store.undo(place.store.decisions("gate-2")[0].number, "ada")
    place.sync()
    assert place.kept == {"gate-2": "normal"}


def test_an_event_that_is_not_over_waits_until_its_clip_is_whole(place: Place) -> None:
    place.labelled("gate-1", end=None, end_wall=None)
    place.labelled("gate-2", end_wall=NOW - timedelta(seconds=3))
    place.labelled("gate-3", end_wall=None)  # of a file
    place.sync()
    assert place.kept == {"gate-3": "normal"}


def test_an_event_whose_files_say_that_they_are_whole_is_taken_in_at_once(place: Place) -> None:
    made = place.event("gate-2", end_wall=NOW - timedelta(seconds=3))
    place.store.label("gate-2", "normal", by="ada")
    folder = place.out / "gate" / "events" / "gate-2"
    parts = [{"file": "clip.mp4", "start": 0.0, "end": 12.0, "copied": True}]
    write_event(folder, EventMessage("close", made), {"clips": parts, WHOLE: True})
    place.sync()
    assert place.kept == {"gate-2": "normal"}


def test_events_of_cameras_that_are_not_asked_for_stay_as_they_are(place: Place) -> None:
    place.labelled("gate-1")
    place.labelled("other-1", source="other")
    place.sync()
    assert place.kept == {"gate-1": "normal"}
    place.cameras = {"other": camera()}
    place.sync()
    assert place.kept == {"gate-1": "normal", "other-1": "normal"}


def test_an_event_of_another_store_stays(place: Place, tmp_path: Path) -> None:
    place.labelled("gate-1")
    place.sync()
    with EventStore(f"sqlite:///{tmp_path / 'other.db'}") as other:
        sync(other, place.out, place.scenes, place.cameras, SETTINGS, NOW)
    assert place.kept == {"gate-1": "normal"}


def test_an_event_without_a_clip_or_with_a_black_one_says_that_a_fit_cannot_learn_it(place: Place) -> None:
    place.labelled("gate-1")
    shutil.rmtree(place.out)
    place.labelled("gate-2", notes=("the clip is made of scored frames: the camera has privacy areas",))
    place.labelled("hall-1", source="hall")
    place.cameras["hall"] = camera(privacy=[AREA])
    place.sync()
    found = {one.id: one.obstacle for one in place.taught.entries}
    assert found == {"gate-1": NO_CLIP, "gate-2": PRIVATE, "hall-1": PRIVATE}
    assert news(place.scene) == ()


def test_violations_are_kept_before_normals_and_of_these_the_newest_of_each_kind(place: Place) -> None:
    clip = bytes(300 * 1024)
    here, there = ((10, 10, 20, 20),), ((600, 400, 20, 20),)
    for number in range(4):
        wall = NOW - timedelta(days=9 - number)
        changes = {"clip": clip, "start_wall": wall, "tracks": ()}
        place.labelled(f"here-{number}", regions=here, **changes)
        place.labelled(f"wrong-{number}", "violation", regions=here, **changes) if number < 1 else None
    place.labelled("there-0", clip=clip, start_wall=NOW - timedelta(days=20), tracks=(), regions=there)
    place.sync(Teaching(most_bytes=2**20))
    assert set(place.kept) == {"wrong-0", "here-3", "there-0"}
    place.sync(Teaching(most_bytes=2**30))
    assert len(place.kept) == 6


def test_names_that_lead_elsewhere_are_not_followed(place: Place, tmp_path: Path) -> None:
    for id, changes in {"../evil": {}, "evil-2": {"scene": "../yard"}, "evil-3": {"scene": "gone"}}.items():
        place.store.save(
            EventMessage("close", event(id, end=9.0, end_wall=NOW - timedelta(days=1), version=2, **changes))
        )
        place.store.label(id, "normal")
    assert place.sync() == ()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["scenes"]
    assert [path.name for path in place.scenes.iterdir()] == ["yard"]


def test_a_kill_while_events_are_taken_in_loses_none(place: Place, tmp_path: Path) -> None:
    place.labelled("gate-1")
    place.sync()
    place.labelled("gate-2")
    place.store.label("gate-1", "violation")
    newer = replace(place.store.get("gate-1").event, version=3, peak_score=9.0)
    place.store.save(EventMessage("close", newer))
    place.store.close()
    copy = shutil.copytree(place.scenes, tmp_path / "copy")
    for step in range(1000):
        shutil.rmtree(place.scenes)
        shutil.copytree(copy, place.scenes)
        if not run_killed(lambda: Place.sync(place), step):
            break
        place.sync()
        assert place.kept == {"gate-1": "violation", "gate-2": "normal"}
        assert all(len(one.clips) == 1 for one in place.taught.entries)
        assert place.taught.entries[0].event.peak_score in (3.5, 9.0)
    assert step > 10


def test_a_candidate_is_wanted_for_what_nobody_knows_some_time_after_the_last_label(place: Place) -> None:
    normal_folder(place.scene).mkdir(parents=True)
    place.labelled("gate-1")
    place.sync()
    labelled = place.taught.entries[0].labelled_at
    soon, later = labelled + timedelta(minutes=9), labelled + timedelta(minutes=11)
    assert not is_wanted(place.scene, SETTINGS, soon)
    assert is_wanted(place.scene, SETTINGS, later)
    assert not is_wanted(place.scene, Teaching(fit="by hand"), later)
    wanted_file(place.scene).write_text("{}")
    assert is_wanted(place.scene, Teaching(fit="by hand"), soon)
    wanted_file(place.scene).unlink()
    Progress(stage="failed", text="no room").write(teach_folder(place.scene))
    assert not is_wanted(place.scene, SETTINGS, later), "what failed is not tried again until there is something new"
    wanted_file(place.scene).write_text("{}")
    assert is_wanted(place.scene, SETTINGS, later), "somebody asked again"


def test_who_asks_while_a_candidate_is_made_gets_another_one_only_if_there_is_something_new(place: Place) -> None:
    by_hand = Teaching(fit="by hand")
    place.labelled("gate-1")
    place.sync()
    wanted_file(place.scene).write_text("{}")
    os.utime(wanted_file(place.scene), (0, 0))
    propose(place, "gate-1")
    assert not is_wanted(place.scene, by_hand, NOW)
    assert not wanted_file(place.scene).exists()
    begun_file(place.scene).write_text("{}")  # as after a kill between the candidate and this
    os.utime(begun_file(place.scene), (0, 0))
    place.labelled("gate-2")
    place.sync()
    assert is_wanted(place.scene, by_hand, NOW)


@pytest.mark.parametrize("end", ["candidate", "promoted", "rolled back", "discarded", "refused"])
def test_no_candidate_is_wanted_for_what_the_last_one_knew_whatever_became_of_it(place: Place, end: str) -> None:
    normal_folder(place.scene).mkdir(parents=True)
    place.labelled("gate-1")
    place.sync()
    propose(place, "gate-1", refused=end == "refused")
    versions = Versions(place.scene)
    if end in ("promoted", "rolled back"):
        versions.promote("ada")
    if end == "rolled back":
        versions.rollback("ada")
    if end == "discarded":
        versions.discard("ada")
    later = datetime.now(UTC) + timedelta(days=1)
    assert not is_wanted(place.scene, SETTINGS, later)
    place.labelled("gate-2")
    place.sync()
    assert [one.id for one in news(place.scene)] == ["gate-2"]
    assert is_wanted(place.scene, SETTINGS, later)


def test_a_candidate_is_wanted_when_one_was_taught_what_is_a_violation_or_was_not_tried_on_one(place: Place) -> None:
    normal_folder(place.scene).mkdir(parents=True)
    place.labelled("gate-1")
    place.labelled("gate-2", "violation")
    place.sync()
    propose(place, "gate-1", tried=("gate-2",))
    assert news(place.scene) == ()
    place.store.label("gate-1", "violation")
    place.sync()
    assert [one.id for one in news(place.scene)] == ["gate-1"]
    propose(place, tried=("gate-2", "gate-1"))
    assert news(place.scene) == ()
    assert untried_violations(place.scene) == ()
    place.labelled("gate-3", "violation")
    place.sync()
    assert [one.id for one in news(place.scene)] == ["gate-3"]
    assert [one.id for one in untried_violations(place.scene)] == ["gate-3"]


def test_what_was_found_before_does_not_count_for_a_scene_that_was_fitted_by_hand_since(place: Place) -> None:
    place.labelled("gate-1")
    place.sync()
    propose(place, "gate-1")
    Versions(place.scene).promote("ada")
    assert news(place.scene) == ()
    shutil.rmtree(place.scene)
    small_scene(place.scene, "by hand", b"by hand")
    assert [one.id for one in news(place.scene)] == ["gate-1"]


def test_an_event_whose_clip_held_nothing_to_learn_asks_for_no_other_candidate(place: Place) -> None:
    place.labelled("gate-1")
    place.sync()
    staged = small_scene(hidden_folder(place.scene) / "staged", "next", b"next")
    Versions(place.scene).propose(staged, by="ada", comparison={"normals": [{"event": "gate-1"}]})
    assert news(place.scene) == ()


def propose(place: Place, *taught: str, tried: tuple[str, ...] = (), refused: bool = False) -> None:
    staged = small_scene(hidden_folder(place.scene) / "staged", "next", os.urandom(8))
    comparison = {"violations": [{"event": id} for id in tried], "refusals": [{"text": "no"}] if refused else []}
    Versions(place.scene).propose(staged, by="ada", taught=taught, comparison=comparison)


def test_the_exception_of_an_event_goes_when_it_is_a_violation_or_its_label_is_taken_back(place: Place) -> None:
    exceptions = Exceptions(place.scene)
    for id in ("gate-1", "gate-2", "gate-3"):
        place.labelled(id)
        exceptions.add_from(place.store.get(id).event, size=(320, 240), by="ada")
    place.sync()
    place.store.label("gate-1", "violation")
    place.store.label("gate-2", None)
    place.sync()
    assert [one.event for one in exceptions.entries] == ["gate-3"]
    propose(place, "gate-3")
    assert len(exceptions.entries) == 1
    Versions(place.scene).promote("ada")
    assert exceptions.entries == ()
