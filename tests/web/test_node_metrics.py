"""The metrics of all nodes stand on one page, told apart by the label `node`, in both formats."""

from __future__ import annotations

import subprocess

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from starlette.testclient import TestClient

from msflow_stream.watch.nodes import ClusterReport, NodeReport
from msflow_stream.web.node_metrics import nodes_registry
from msflow_stream.web.watch_app import public_app
from tests.web.reports import HOSTILE, NOW, SECRET, STARTED, dark, of_all_sorts, promtool, report, running
from tests.web.test_metrics import samples, value

OWN = ("process_", "python_", "msflow_cameras_without_node")  # of the process that places the cameras


def nodes() -> ClusterReport:
    return ClusterReport(
        nodes=(
            NodeReport(name="north", watch=of_all_sorts(), seen=NOW, frames_per_s=80.0, resident_bytes=2**30),
            NodeReport(name=HOSTILE, watch=report(running("gate"), dark()), seen=NOW, state="draining"),
            NodeReport(name="gone", watch=report(running("gate")), seen=STARTED, state="away"),
        ),
        cameras={"gate": "yard", "door": "yard", "roof": "yard"},
        placed={"gate": HOSTILE, "door": "north"},
        started=STARTED,
    )


@pytest.fixture
def text() -> str:
    return generate_latest(nodes_registry(nodes)).decode()


def test_every_number_says_its_node_and_is_there_once(text: str) -> None:
    found = samples(text)  # which fails where one is there twice
    without = {name for name, labels in found if "node" not in dict(labels) and not name.startswith(OWN)}
    assert without == set()


def test_a_camera_of_two_nodes_keeps_the_counters_of_each(text: str) -> None:
    found = samples(text)
    for name in ("north", HOSTILE):
        assert value(found, "msflow_frames_scored_total", camera="cellar", node=name) == 190
        assert value(found, "msflow_batch_frames_count", node=name) == 6
        assert value(found, "msflow_stage_seconds_bucket", node=name, stage="scoring", le="+Inf") == 5


def test_a_node_that_is_away_says_that_and_nothing_that_is_old(text: str) -> None:
    found = samples(text)
    assert {name for name, labels in found if ("node", "gone") in labels} == {
        "msflow_node_state", "msflow_node_seen_timestamp_seconds", "msflow_node_cameras",
    }  # fmt: skip
    states = {state: value(found, "msflow_node_state", node="gone", state=state) for state in ("watching", "away")}
    assert states == {"watching": 0, "away": 1}
    assert value(found, "msflow_node_state", node=HOSTILE, state="draining") == 1


def test_what_a_node_has_and_what_was_placed_there_is_shown(text: str) -> None:
    found = samples(text)
    assert value(found, "msflow_node_capacity_frames_per_second", node="north") == 80
    assert value(found, "msflow_node_resident_memory_bytes", node="north") == 2**30
    placed = {name: value(found, "msflow_node_cameras", node=name) for name in ("north", HOSTILE, "gone")}
    assert placed == {"north": 1, HOSTILE: 1, "gone": 0}
    assert value(found, "msflow_cameras_without_node") == 1


def test_both_formats_can_be_read_and_hold_no_secret(text: str) -> None:
    other = openmetrics.generate_latest(nodes_registry(nodes)).decode()
    assert samples(other, parse_openmetrics).keys() >= {key for key in samples(text) if key[0] == "msflow_score"}
    assert SECRET not in text + other


def test_the_checker_of_prometheus_has_nothing_to_say(text: str) -> None:
    done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_page_and_readiness_are_those_of_all_nodes() -> None:
    client = TestClient(public_app(lambda: nodes().joined(), lambda: None, nodes))
    assert 'msflow_score{camera="cellar",node="north"}' in client.get("/metrics").text
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert (answer.status_code, [one["name"] for one in answer.json()["cameras"]]) == (200, ["gate", "door", "roof"])
