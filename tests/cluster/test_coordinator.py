"""A coordinator places cameras on nodes, which come, go, fall silent, and begin anew one after another."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from msflow_stream.config.cameras import Cameras
from msflow_stream.types import UserError
from msflow_stream.watch.camera_outputs import WatchOutputs
from pipelines.cluster.coordinator import RETURNS, SILENT, Coordinator
from pipelines.cluster.placement import SETTLED
from pipelines.machine_watch import WatchJob
from tests.cluster.fake_fleet import FakeFleet
from tests.support.small_scenes import small_scene

NAMES = [f"cam{number:02}" for number in range(12)]
LOOK = 0.5


def cameras(*names: str, scene: str = "gate", **others: object) -> Cameras:
    all_of_them = {name: {"url": "rtsp://192.0.2.1/live", "scene": scene} for name in names}
    return Cameras.model_validate({"cameras": all_of_them, **others})


class Place:
    """A coordinator, its nodes, and a clock that only `run` moves."""

    def __init__(self, folder: Path, *nodes: str) -> None:
        small_scene(folder / "scenes" / "gate", "gate", b"weights")
        self.fleet, self.now = FakeFleet(*nodes), 0.0
        self._job = WatchJob(
            cameras=folder / "cameras.yaml", scenes=folder / "scenes", written=WatchOutputs(out=folder / "out")
        )
        self.coordinator = self.begin()

    def begin(self) -> Coordinator:
        self.coordinator = Coordinator(self.fleet, self._job, cameras(*NAMES), lambda: self.now)
        return self.coordinator

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK)):
            self.coordinator.tick()
            self.fleet.step()
            self.now += LOOK

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(self.fleet.held.values()))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, "a", "b", "c")


def test_cameras_are_spread_over_the_nodes(place: Place) -> None:
    place.run(5)
    assert place.counts == {"a": 4, "b": 4, "c": 4}
    report = place.coordinator.report()
    assert report.placed == place.fleet.held
    assert [node.state for node in report.nodes] == ["watching"] * 3


def test_nodes_that_are_starting_are_waited_for_so_that_the_first_one_does_not_get_all_cameras(place: Place) -> None:
    place.fleet.all["b"].silent = True
    place.run(5)
    assert place.counts == {}
    place.fleet.all["b"].silent = False
    place.coordinator._nodes["b"].asked = None  # it answers the next time
    place.run(5)
    assert place.counts == {"a": 4, "b": 4, "c": 4}


def test_the_cameras_of_a_node_that_is_gone_are_taken_by_the_others(place: Place) -> None:
    place.run(5)
    place.fleet.kill("b")
    place.run(2)
    assert place.counts == {"a": 6, "c": 6}


def test_a_node_that_is_silent_keeps_what_it_has_until_its_leases_are_gone(place: Place) -> None:
    place.run(5)
    before = dict(place.fleet.held)
    place.fleet.all["b"].silent = True
    place.run(2 * SILENT)
    assert place.coordinator.report().nodes[1].state == "away"
    assert place.fleet.held == before  # by its leases: nobody else could begin
    node = place.fleet.all["b"]
    for camera in [*node.held]:  # as its leases run out
        node.held.discard(camera)
        del place.fleet.held[camera]
    node.told = None
    place.run(2)
    assert place.counts == {"a": 6, "c": 6}


def test_the_cameras_of_a_node_that_cannot_reach_the_store_are_taken_by_the_others(place: Place) -> None:
    place.run(10)
    place.fleet.cut_off("b")
    place.run(SILENT + 2)
    assert place.counts == {"a": 6, "c": 6}
    place.fleet.all["b"].away = False
    place.run(SETTLED / 2)
    assert place.counts == {"a": 6, "c": 6}  # it does not begin what others have
    place.run(60)
    assert place.counts == {"a": 4, "b": 4, "c": 4}


def test_where_no_node_can_reach_the_store_all_cameras_stay_where_they_are_until_it_is_back(place: Place) -> None:
    place.run(10)
    before = dict(place.fleet.held)
    place.fleet.cut_off("a", "b", "c")
    place.run(60)
    for name in ("b", "c", "a"):
        place.fleet.all[name].away = False
        place.run(1)
    place.run(20)
    assert place.fleet.held == before


def test_a_node_that_comes_back_gets_its_share_in_steps_and_no_camera_is_without_a_node_for_long(place: Place) -> None:
    place.run(5)
    place.fleet.kill("b")
    place.run(5)
    place.fleet.unwatched.clear()
    place.fleet.all["b"] = FakeFleet("b").all["b"]
    place.fleet.all["b"].slow = 6
    place.run(SETTLED / 2)
    assert "b" not in place.counts
    place.run(60)
    assert place.counts == {"a": 4, "b": 4, "c": 4}
    assert all(looks <= 1 for looks in place.fleet.unwatched.values())
    assert len(place.fleet.unwatched) <= 4


def test_all_nodes_begin_anew_one_after_another_without_a_camera_that_waits(place: Place) -> None:
    place.run(5)
    place.coordinator.restart_nodes()
    place.run(90)
    assert place.fleet.restarted == ["a", "b", "c"]
    assert set(place.fleet.held) == set(NAMES)
    assert all(node.born == 2 for node in place.fleet.all.values())
    assert all(looks <= 3 for looks in place.fleet.unwatched.values())


def test_the_next_node_begins_anew_when_the_one_before_is_back_and_no_camera_is_on_its_way(place: Place) -> None:
    place.run(5)
    place.coordinator.restart_nodes()
    place.run(4)
    assert place.fleet.restarted == ["a"]
    place.fleet.all["a"].silent = True  # its process is still beginning
    place.run(60)
    assert place.fleet.restarted == ["a"]
    assert place.counts == {"b": 6, "c": 6}
    place.fleet.all["a"].silent = False
    place.coordinator._nodes["a"].asked = place.coordinator._nodes["a"].telling = None  # it answers the next time
    place.fleet.all["a"].slow = 6  # looks until it has loaded a camera's scene
    place.run(SETTLED + 2)
    assert place.fleet.restarted == ["a"]
    place.run(60)
    assert place.fleet.restarted == ["a", "b", "c"]


def test_a_node_that_does_not_come_back_does_not_keep_the_others_from_beginning_anew(place: Place) -> None:
    place.run(5)
    place.coordinator.restart_nodes()
    place.run(4)
    assert place.fleet.restarted == ["a"]
    place.fleet.all["a"].silent = True
    place.run(RETURNS + 60)
    assert place.fleet.restarted == ["a", "b", "c"]


def test_the_only_node_begins_anew_though_nobody_takes_its_cameras(tmp_path: Path) -> None:
    place = Place(tmp_path, "a")
    place.run(5)
    place.coordinator.restart_nodes()
    place.run(5)
    assert place.fleet.restarted == ["a"]
    assert place.counts == {"a": 12}


def test_a_process_that_began_anew_by_itself_is_told_again(place: Place) -> None:
    place.run(5)
    place.fleet.restart("c")
    place.run(3)
    assert place.counts == {"a": 4, "b": 4, "c": 4}


def test_a_coordinator_that_begins_anew_leaves_the_cameras_where_they_are(place: Place) -> None:
    place.run(5)
    before = dict(place.fleet.held)
    place.begin()
    place.fleet.unwatched.clear()
    place.run(20)
    assert place.fleet.held == before
    assert not place.fleet.unwatched


def test_a_cameras_file_that_was_read_again_is_followed_by_all_nodes(place: Place) -> None:
    place.run(5)
    place.coordinator.follow(cameras(*NAMES[:10], "new"))
    place.run(3)
    assert set(place.fleet.held) == {*NAMES[:10], "new"}
    with pytest.raises(UserError, match="no scene 'yard'"):
        place.coordinator.follow(cameras("other", scene="yard"))
    with pytest.raises(UserError, match="alerts that are new"):
        place.coordinator.follow(cameras("other", alerts={"lines": {"type": "jsonl", "file": "x"}}))
    place.run(3)
    assert set(place.fleet.held) == {*NAMES[:10], "new"}


def test_at_the_end_all_nodes_end_what_is_open(place: Place) -> None:
    place.run(5)
    place.coordinator.close()
    place.coordinator.stop()
    assert not place.fleet.held
    assert place.fleet.ended == ["a", "b", "c"]
