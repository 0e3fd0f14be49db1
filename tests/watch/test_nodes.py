"""What several nodes report is the report of one watch: every camera once, with its node, and sums of the rest."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import datetime

from msflow_stream.events.alerts.delivery import AlertReport
from msflow_stream.stream.counters import LATENCY_BOUNDS
from msflow_stream.video.live.states import State
from msflow_stream.watch.nodes import ClusterReport, NodeReport, joined_alerts
from msflow_stream.watch.report import WatchReport, ready
from tests.web.reports import NOW, STARTED, alarmed, nothing, report, running, unreachable

ALERT = AlertReport(5, 2, 1, 3, None, 4, "webhook")


def node(name: str, watch: WatchReport | None, **more: object) -> NodeReport:
    return NodeReport(name=name, watch=watch, seen=NOW, **more)  # type: ignore[arg-type]


def cluster(*nodes: NodeReport, placed: dict[str, str], cameras: tuple[str, ...] | None = None) -> ClusterReport:
    names = tuple(placed) if cameras is None else cameras
    return ClusterReport(
        nodes=nodes, cameras=dict.fromkeys(names, "yard"), placed=placed, started=STARTED, reloads=2, failed_reloads=1
    )


def test_every_camera_of_the_file_is_there_once_in_its_order_with_its_node() -> None:
    one = node("north-1a2b3c4d", report(running("gate"), alarmed("door")))
    other = node("south-5e6f7a8b", report(unreachable("roof")))
    placed = {"roof": other.name, "door": one.name, "gate": one.name}
    joined = cluster(one, other, placed=placed).joined()
    assert [(camera.name, camera.node) for camera in joined.cameras] == list(placed.items())
    door = joined.cameras[1]
    assert replace(door, node="") == alarmed("door"), "and is what its node says of it"


def test_a_camera_that_moves_is_shown_by_its_new_node_alone() -> None:
    old = node("old", report(replace(running("gate"), reused=1)))
    new = node("new", report(replace(running("gate"), reused=2)))
    (gate,) = cluster(old, new, placed={"gate": "new"}).joined().cameras
    assert (gate.node, gate.reused) == ("new", 2)


def test_a_camera_without_a_report_says_what_it_waits_for() -> None:
    nodes = (node("up", report()), node("gone", report(running("roof")), state="away"))
    joined = cluster(*nodes, placed={"gate": "up", "roof": "gone"}, cameras=("gate", "roof", "cellar")).joined()
    said = {camera.name: (camera.node, camera.status.reason) for camera in joined.cameras}
    assert said["gate"] == ("up", "begins on its node")
    assert said["roof"] == ("gone", "its node does not answer; another one will watch it")
    assert said["cellar"] == ("", "waits for a node that has room for it")
    assert {camera.status.state for camera in joined.cameras} == {State.CONNECTING}
    assert {camera.scene for camera in joined.cameras} == {"yard"}


def test_what_is_counted_is_the_sum_over_the_nodes_that_answer() -> None:
    one, other = report(running("gate")), report(running("door"))
    away = node("away", report(running("roof")), state="away")
    joined = cluster(node("a", one), node("b", other), away, placed={"gate": "a", "door": "b"}).joined()
    assert joined.stream.batches == {size: 2 * count for size, count in one.stream.batches.items()}
    assert joined.stream.scoring.count == 2 * one.stream.scoring.count
    assert joined.stream.scoring.seconds == 2 * one.stream.scoring.seconds
    assert joined.stream.scoring.at_most == tuple(2 * count for count in one.stream.scoring.at_most)
    assert joined.device_bytes == 2 * (one.device_bytes or 0)
    assert (joined.device, joined.reloads, joined.failed_reloads) == ("2 of 3 nodes (2 x cuda:0)", 2, 1)


def test_nodes_that_say_nothing_yet_are_a_watch_that_is_not_ready() -> None:
    joined = cluster(node("a", None), node("b", nothing()), placed={"gate": "a"}).joined()
    assert (joined.device_bytes, len(joined.stream.waiting.at_most)) == (None, len(LATENCY_BOUNDS))
    assert ready(joined) == ["no camera has given a picture yet"]
    assert ready(cluster(placed={}).joined()) == ["no camera is watched"]


def test_the_alerts_of_all_nodes_are_one_with_the_sums_and_an_error_of_any() -> None:
    failed = replace(ALERT, delivered=1, last_error="the server answers 503")
    joined = joined_alerts([{"hook": ALERT}, {"hook": failed, "store": ALERT}, {"hook": ALERT}])
    assert joined["hook"] == AlertReport(11, 6, 3, 9, "the server answers 503", 12, "webhook")
    assert joined["store"] == ALERT


def test_reports_travel_between_processes() -> None:
    whole = cluster(node("a", report(running("gate"), unreachable())), placed={"gate": "a"})
    there = pickle.loads(pickle.dumps(whole))
    assert repr(there) == repr(whole), "in which not every number is one"
    assert isinstance(there.started, datetime)
