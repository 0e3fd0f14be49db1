"""Who keeps leases: whatever stands still, is cut off or restarted, no two nodes watch a camera at any moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from msflow_stream.events.store import StoreUnavailable, lease_keeper
from msflow_stream.events.store.lease_keeper import LeaseKeeper
from msflow_stream.events.store.leases import Lease, Leases

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
TTL, CAMERAS = 10.0, ("gate", "yard")
RATES = (1.0, 1.004, 0.996)  # of the nodes' clocks


class World:
    """The time, and the leases as a database keeps them by its own clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fences: dict[str, int] = {}
        self.running: dict[str, tuple[str, int, float]] = {}  # who has a camera, by which number, and until when
        self.spans: list[tuple[str, int, float, float]] = []  # camera, number, from and until of leases that are over
        self.writes: list[tuple[str, int, float, str]] = []

    def at(self, seconds: float) -> datetime:
        return EPOCH + timedelta(seconds=seconds)


class SimulatedLeases:
    """The leases of a node in a simulated database, which is away at times, or slow to answer."""

    ttl, patience = TTL, TTL / 3

    def __init__(self, world: World, node: str) -> None:
        self.world, self.node = world, node
        self.cut_off = False
        self.delay = 0.0

    def _ask(self) -> None:
        if self.cut_off:
            raise StoreUnavailable("it is away")

    def _answer(self) -> None:
        self.world.now += self.delay

    def acquire(self, camera: str) -> Lease | None:
        self._ask()
        world, now = self.world, self.world.now
        before = world.running.get(camera)
        if before is not None and now < before[2]:
            return None
        fence = world.fences.get(camera, 0) + 1
        world.fences[camera] = fence
        world.running[camera] = (self.node, fence, now + TTL)
        self._answer()
        return Lease(camera, fence, world.at(now + TTL), before[0] if before else None)

    def renew(self, fences: Mapping[str, int]) -> dict[str, datetime]:
        self._ask()
        world, now = self.world, self.world.now
        renewed = {}
        for camera, fence in fences.items():
            holder = world.running.get(camera)
            if holder is not None and holder[:2] == (self.node, fence) and now < holder[2]:
                world.running[camera] = (self.node, fence, now + TTL)
                renewed[camera] = world.at(now + TTL)
        self._answer()
        return renewed

    def release(self, fences: Mapping[str, int]) -> None:
        self._ask()
        for camera, fence in fences.items():
            node, number, until = self.world.running.get(camera, ("", 0, 0.0))
            if (node, number) == (self.node, fence):
                self.world.running[camera] = (node, number, min(until, self.world.now))


class SimulatedNode:
    """A node: its keeper, and what it believes."""

    def __init__(self, world: World, name: str, rate: float) -> None:
        self.world, self.name, self.rate = world, name, rate
        self.leases = SimulatedLeases(world, name)
        self.stands_still = False
        self.wanted: Collection[str] = ()
        self.begin()

    def begin(self) -> None:
        """As a process that has just started."""
        self.dead = False
        self.renewed = self.tried = self.clock()
        self.keeper = LeaseKeeper(cast(Leases, self.leases), self.stop, clock=self.clock, overrun=self.die)

    def clock(self) -> float:
        return 1000.0 + self.world.now * self.rate

    def stop(self, cameras: Collection[str]) -> None:
        """Nothing: the worst node does not even stop what it was told to, and is kept from writing by the clock."""

    def die(self) -> None:
        self.dead = True

    def work(self) -> None:
        """What its threads do in a moment in which it runs."""
        if self.stands_still:
            return
        self.keeper.look()
        if self.dead:
            self.begin()
        if self.clock() - self.renewed >= TTL / 3 and self.clock() - self.tried >= TTL / 20:
            self.tried = self.clock()
            if self.keeper.renew():
                self.renewed = self.tried
        for camera in self.wanted:
            if not self.keeper.holds(camera):
                with suppress(StoreUnavailable):
                    self.keeper.take(camera)

    def writes(self, camera: str) -> bool:
        return not self.stands_still and self.keeper.holds(camera)


class Cluster(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.nodes = [SimulatedNode(self.world, f"n{number}", rate) for number, rate in enumerate(RATES)]
        for node in self.nodes:
            node.wanted = CAMERAS  # all want all, and take what they can get
        self.last: dict[str, int] = {}  # the number of the lease that something was written by last

    @rule(seconds=st.floats(0.2, 8.0))
    def time_passes(self, seconds: float) -> None:
        end = self.world.now + seconds
        while self.world.now < end:
            self.world.now += 0.2
            for node in self.nodes:
                node.work()
            self.write()

    @rule(node=st.integers(0, 2), delay=st.sampled_from([0.0, 0.5, 3.0, 6.0]))
    def one_is_answered_later(self, node: int, delay: float) -> None:
        self.nodes[node].leases.delay = delay

    @rule(node=st.integers(0, 2), camera=st.sampled_from(CAMERAS))
    def one_gives_back(self, node: int, camera: str) -> None:
        if not self.nodes[node].stands_still:
            self.nodes[node].keeper.drop(camera)

    @rule(node=st.integers(0, 2))
    def one_stands_still_or_goes_on(self, node: int) -> None:
        self.nodes[node].stands_still = not self.nodes[node].stands_still
        self.write()  # before anything else happens in it

    @rule(node=st.integers(0, 2))
    def one_is_cut_off_or_reached_again(self, node: int) -> None:
        self.nodes[node].leases.cut_off = not self.nodes[node].leases.cut_off

    @rule(node=st.integers(0, 2))
    def one_is_killed_and_started_again(self, node: int) -> None:
        self.nodes[node].begin()

    @precondition(lambda self: hasattr(self, "nodes"))
    @invariant()
    def write(self) -> None:
        """All that believe so write: there is one at most, its lease runs, and no number is older than one before."""
        for camera in CAMERAS:
            writers = [node for node in self.nodes if node.writes(camera)]
            assert len(writers) <= 1, (camera, [node.name for node in writers])
            for node in writers:
                mark = node.keeper.mark(camera)
                assert mark is not None
                holder, fence, until = self.world.running[camera]
                assert (holder, fence) == (node.name, mark.fence)
                assert self.world.now < until
                assert mark.at <= self.world.at(self.world.now * 1.005 + 0.01)
                assert mark.at <= self.world.at(until)
                assert mark.fence >= self.last.get(camera, 0)
                self.last[camera] = mark.fence


TestNoTwoNodesWatchOneCamera = Cluster.TestCase
TestNoTwoNodesWatchOneCamera.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_a_keeper_that_stops_too_late_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_one_off() -> None:
        cluster: Any = Cluster()
        cluster.begin()
        cluster.time_passes(5.0)
        cluster.one_is_cut_off_or_reached_again(0)
        cluster.time_passes(16.0)
        assert cluster.world.fences == {"gate": 2, "yard": 2}

    cut_one_off()
    monkeypatch.setattr(lease_keeper, "END", 1.1)
    with pytest.raises(AssertionError, match="'n0', 'n1'"):
        cut_one_off()


@pytest.fixture
def node() -> SimulatedNode:
    return SimulatedNode(World(), "n0", 1.0)


def lose(node: SimulatedNode) -> tuple[list[str], Event]:
    """What the node is told of, and when it was."""
    lost, told = list[str](), Event()

    def take_note(cameras: Collection[str]) -> None:
        lost.extend(cameras)
        told.set()

    node.keeper = LeaseKeeper(cast(Leases, node.leases), take_note, clock=node.clock, overrun=node.die)
    return lost, told


def pass_by(node: SimulatedNode, seconds: float, **options: Any) -> None:
    end = node.world.now + seconds
    while node.world.now < end:
        node.world.now += 0.2
        node.work()


def test_a_node_that_is_cut_off_stops_while_its_lease_lasts(node: SimulatedNode) -> None:
    lost, told = lose(node)
    assert node.keeper.take("gate") is not None
    pass_by(node, 60.0)
    assert node.keeper.cameras == {"gate"}
    node.leases.cut_off = True
    last = node.renewed
    while node.keeper.cameras:
        pass_by(node, 0.2)
    assert 2 / 3 * TTL <= node.clock() - last < 2 / 3 * TTL + 0.5
    assert told.wait(30)
    assert lost == ["gate"]
    assert node.keeper.mark("gate") is not None  # what is open is closed now
    pass_by(node, 1 / 3 * TTL)
    assert node.keeper.mark("gate") is None
    assert not node.dead


def test_a_database_that_is_away_for_a_moment_is_not_noticed(node: SimulatedNode) -> None:
    lost, _ = lose(node)
    assert node.keeper.take("gate") is not None
    for _ in range(20):
        pass_by(node, 4.0)
        node.leases.cut_off = True
        pass_by(node, 3.0)
        node.leases.cut_off = False
    assert lost == []
    assert node.keeper.take("gate") is None  # nobody could have had it


def test_a_lease_that_was_ended_in_the_database_is_lost_at_the_next_renewal(node: SimulatedNode) -> None:
    lost, told = lose(node)
    assert node.keeper.take("gate") is not None
    node.world.running["gate"] = ("n1", 2, node.world.now + TTL)
    pass_by(node, 4.0)
    assert told.wait(30)
    assert lost == ["gate"]
    assert node.keeper.mark("gate") is None  # at once


def test_a_process_that_stood_still_for_too_long_ends(node: SimulatedNode) -> None:
    assert node.keeper.take("gate") is not None
    node.world.now += 2 * TTL
    assert not node.keeper.holds("gate")
    node.keeper.look()
    assert node.dead


def test_a_process_that_stood_still_shortly_goes_on(node: SimulatedNode) -> None:
    assert node.keeper.take("gate") is not None
    node.world.now += 0.6 * TTL
    node.work()
    node.work()
    assert not node.dead
    assert node.keeper.cameras == {"gate"}
