"""What a node watches, without Ray: scores and events as on one machine, taken and given back with their leases."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from msflow_stream.config.cameras import Cameras
from msflow_stream.config.settings import EngineSettings
from msflow_stream.events.store import EventStore
from msflow_stream.events.store.leases import Leases
from msflow_stream.watch.camera_outputs import WatchOutputs
from pipelines.cluster.node_facts import Assignment, NodeFacts
from pipelines.cluster.watch_node import WatchNode
from pipelines.machine_watch import WatchJob
from pipelines.watch import watch
from tests.pipelines.conftest import Workplace
from tests.support.postgres import PostgresServer
from tests.support.postgres import postgres_server as postgres_server
from tests.support.watching import until

TORCH = EngineSettings(name="torch", precision="float32")
CLIPS = ("first", "second")


@pytest.fixture
def store(postgres_server: PostgresServer) -> str:
    return postgres_server.new_database()


@pytest.fixture
def told(workplace: Workplace, store: str, tmp_path: Path) -> Assignment:
    clips = {name: {"url": str(workplace.clips / f"{name}.mp4"), "scene": "gate"} for name in CLIPS}
    file = Cameras.model_validate({"cameras": clips, "store": store})
    written = WatchOutputs(out=tmp_path / "out", evidence=False)
    job = WatchJob(
        cameras=tmp_path / "cameras.yaml", scenes=workplace.scenes, written=written, device="cpu", engine=TORCH
    )
    return Assignment(number=1, job=job, file=file, cameras=CLIPS)


class Node:
    """A node, asked from a test as from a coordinator."""

    def __init__(self, name: str) -> None:
        self._node, self._loop = WatchNode(name), asyncio.new_event_loop()

    def assign(self, told: Assignment) -> int:
        return self._loop.run_until_complete(self._node.assign(told))

    def report(self) -> NodeFacts:
        return self._loop.run_until_complete(self._node.report())

    def stop(self) -> None:
        self._loop.run_until_complete(self._node.stop())

    def close(self) -> None:
        self.stop()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    both = Node("hall-00000001"), Node("hall-00000002")
    yield both
    for node in both:
        node.close()


def rows(out: Path, camera: str) -> list[dict[str, Any]]:
    path = out / camera / "scores.csv"
    with path.open() as file:
        return [{key: row[key] for key in row if key != "wall"} for row in csv.DictReader(file)]


def delivered(facts: NodeFacts) -> int:
    assert facts.watch is not None
    return sum(one.delivered for one in facts.watch.stream.sources.values())


def test_a_node_watches_what_one_machine_does_and_gives_it_back(
    nodes: tuple[Node, Node], told: Assignment, store: str, tmp_path: Path
) -> None:
    node, other = nodes
    assert node.report().watch is None
    assert node.assign(told) == 1
    until(lambda: delivered(node.report()) == 30, "not all frames are scored")
    facts = node.report()
    assert facts.held.keys() == facts.ready == set(CLIPS)
    assert facts.fps is not None
    assert facts.fps > 0
    assert any("told what to watch" in line.text for line in facts.lines)
    other.assign(replace(told, number=2))
    until(lambda: other.report().ready == set(CLIPS), "scenes are not loaded")
    assert not other.report().held
    node.stop()
    until(lambda: other.report().held.keys() == set(CLIPS), "leases are not given back")
    assert node.report().watch is None
    alone = tmp_path / "alone"
    cameras = {name: {"url": told.file.cameras[name].url.get_secret_value(), "scene": "gate"} for name in CLIPS}
    told.job.cameras.write_text(yaml.safe_dump({"cameras": cameras}), encoding="utf-8")
    watch(replace(told.job, written=replace(told.job.written, out=alone)))
    for name in CLIPS:
        found, expected = rows(told.job.written.out, name)[:15], rows(alone, name)
        assert [row["index"] for row in found] == [row["index"] for row in expected]
        scores = [[float(row["score"]) for row in those] for those in (found, expected)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-4)
    with EventStore(store) as ours, EventStore(f"sqlite:///{alone}/events.db") as theirs:
        assert {one.event.id for one in ours.find()} == {one.event.id for one in theirs.find()}
    with Leases(store, "check") as leases:
        log = leases.log()
    assert [(span.camera, span.fence) for span in log] == [(name, fence) for name in CLIPS for fence in (1, 2)]
    assert all(before.until <= after.taken for before, after in zip(log[::2], log[1::2], strict=True))


def test_a_camera_that_is_taken_away_is_given_back_and_the_other_one_stays(
    nodes: tuple[Node, Node], told: Assignment
) -> None:
    node, _ = nodes
    node.assign(told)
    until(lambda: node.report().held.keys() == set(CLIPS), "no leases")
    assert node.assign(replace(told, number=2, cameras=("second",))) == 2
    until(lambda: node.report().held.keys() == {"second"}, "the lease is not given back")
    assert node.assign(replace(told, number=1)) == 2  # of a coordinator that was not up to date
    assert node.report().cameras == {"second"}
