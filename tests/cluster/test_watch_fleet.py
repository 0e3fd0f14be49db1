"""Cameras on three nodes of Ray: a killed node loses its cameras to others, a killed coordinator loses none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.config.cameras import Cameras
from msflow_stream.config.settings import EngineSettings
from msflow_stream.events.store.leases import Leases
from msflow_stream.watch.camera_outputs import WatchOutputs
from pipelines.cluster.coordinator import Coordinator
from pipelines.cluster.session import connected
from pipelines.machine_watch import WatchJob
from tests.pipelines.conftest import Workplace
from tests.support.postgres import PostgresServer
from tests.support.postgres import postgres_server as postgres_server
from tests.support.ray_cluster import kill_node
from tests.support.watching import until

pytestmark = pytest.mark.cluster

TORCH = EngineSettings(name="torch", precision="float32")
NAMES = tuple(f"cam{number}" for number in range(6))


@pytest.fixture
def file(workplace: Workplace, postgres_server: PostgresServer) -> Cameras:
    clips = {name: {"url": str(workplace.clips / "first.mp4"), "scene": "gate"} for name in NAMES}
    return Cameras.model_validate({"cameras": clips, "store": postgres_server.new_database()})


@pytest.fixture
def job(workplace: Workplace, tmp_path: Path) -> WatchJob:
    written = WatchOutputs(out=tmp_path / "out", evidence=False)
    return WatchJob(
        cameras=tmp_path / "cameras.yaml", scenes=workplace.scenes, written=written, device="cpu", engine=TORCH
    )


@pytest.fixture
def address(three_nodes: Any) -> Iterator[str]:
    address: str = three_nodes.address
    with connected(address):
        yield address


def held(coordinator: Coordinator) -> dict[str, str]:
    """The node that has the lease of each camera, by what the nodes say."""
    return coordinator._holders(coordinator._clock())


def test_a_killed_node_loses_its_cameras_to_others_and_a_killed_coordinator_none(
    three_nodes: Any, address: str, job: WatchJob, file: Cameras
) -> None:
    from pipelines.cluster.fleet import RayFleet

    coordinator = Coordinator(RayFleet(), job, file)
    coordinator.start()
    until(
        lambda: (now := held(coordinator)).keys() == set(NAMES) and len(set(now.values())) == 3,
        "not all cameras are watched, or not by three nodes",
        patience=300,
    )
    before = held(coordinator)
    coordinator.close()  # as if it were killed: the nodes go on

    coordinator = Coordinator(RayFleet(), job, file)
    coordinator.start()
    until(lambda: held(coordinator).keys() == set(NAMES), "the nodes are not found again", patience=300)
    assert held(coordinator) == before

    victim = next(node for node in three_nodes.list_all_nodes() if node is not three_nodes.head_node)
    gone = next(name for name in set(before.values()) if name.endswith(victim.node_id[:8]))
    kill_node(victim)
    others = set(before.values()) - {gone}
    until(
        lambda: (now := held(coordinator)).keys() == set(NAMES) and set(now.values()) <= others,
        "cameras of the node that is gone are not watched",
        patience=300,
    )
    after = held(coordinator)
    assert all(after[name] == node for name, node in before.items() if node != gone)

    coordinator.close()
    coordinator.stop()
    with Leases(file.store.get_secret_value() if file.store else "", "check") as leases:
        log = leases.log()
    for name in NAMES:
        spans = [span for span in log if span.camera == name]
        assert [span.fence for span in spans] == [1, 2][: len(spans)]
        assert len(spans) == 1 + (before[name] == gone)
        assert all(one.until <= other.taken for one, other in pairwise(spans))
        assert spans[-1].ended == "released"
