"""The console asks a node by its actor, and is answered as on one machine: frames, errors, and the end of a node."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from msflow_stream.types import UserError
from msflow_stream.watch.live_frames import ShownFrame
from tests.support.ray_cluster import ray_cluster

pytest.importorskip("ray")

from pipelines.cluster.node_desk import NodeAlerts, NodeAway, NodeFrames
from pipelines.cluster.ray_calls import RayCalls
from pipelines.cluster.session import connected

pytestmark = pytest.mark.cluster

T = TypeVar("T")
LARGE = 300_000  # bytes: more than comes with an answer itself
SOON = 60.0  # seconds, for what should take none


class FrameActor:
    """A node as far as the console asks it."""

    async def frame(self, camera: str, width: int, after: int, seconds: float, plain: bool) -> ShownFrame | None:
        if camera != "gate":
            raise KeyError(camera)
        if after >= 7:
            await asyncio.sleep(seconds)
            return None
        return ShownFrame(b"\xff\xd8" + bytes(LARGE), {"sequence": 7, "width": width, "plain": plain})

    async def test_alert(self, name: str) -> None:
        raise UserError(f"{name}: the server answers 503")

    async def retry_dead(self, name: str) -> int:
        return 3


@pytest.fixture(scope="module")
def actor() -> Iterator[Any]:
    import ray

    with ray_cluster(nodes=1) as cluster, connected(cluster.address):
        yield ray.remote(FrameActor).options(num_cpus=0).remote()


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, SOON))


def test_frames_and_their_absence_come_from_the_actor(actor: Any) -> None:
    frames = NodeFrames(dict.fromkeys(("gate", "roof"), "north").__getitem__, lambda: {"north": RayCalls(actor)})
    shown = finished(frames.shown("gate", 1280, 0, SOON, True))
    assert shown is not None
    assert (len(shown.jpeg), shown.facts) == (LARGE + 2, {"sequence": 7, "width": 1280, "plain": True})
    assert finished(frames.shown("gate", 320, 7, 0.2, False)) is None, "nothing newer"
    assert finished(frames.shown("roof", 320, 0, 0.2, False)) is None, "the node has not begun with it"


def test_what_an_alert_fails_with_is_said_in_one_line(actor: Any) -> None:
    alerts = NodeAlerts(lambda: {"north": RayCalls(actor)})
    assert alerts.retry_dead("hook") == 3
    with pytest.raises(UserError) as caught:
        alerts.test("hook")
    assert str(caught.value) == "hook: the server answers 503"


def test_a_node_that_is_gone_is_away(actor: Any) -> None:
    import ray

    ray.kill(actor)
    with pytest.raises(NodeAway):
        finished(RayCalls(actor).frame("gate", 320, 0, 0.0, False))
    with pytest.raises(NodeAway):
        RayCalls(actor).retry_dead("hook")
