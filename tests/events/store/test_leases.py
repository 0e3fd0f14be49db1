"""Leases of cameras: one node at a time, by the database's clock; and events count as their node held the camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

from msflow_stream.events.store import EventStore, StoreUnavailable
from msflow_stream.events.store.leases import Lease, Leases
from msflow_stream.types import LeaseMark, UserError
from tests.cluster.lease_check import leases_of, overlaps
from tests.support.events import WALL, message
from tests.support.postgres import PostgresServer, by_port
from tests.support.proxy import Proxy
from tests.support.watching import until

SHORT, LONG = 0.3, 60.0  # seconds that leases of tests last


@pytest.fixture
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that runs before and after the test."""
    yield postgres_server
    if not postgres_server.runs:
        postgres_server.start()


@pytest.fixture
def url(server: PostgresServer) -> str:
    url = server.new_database()
    with Leases(url, "first") as first:
        first.open()
    return url


def leases(url: str, node: str, ttl: float) -> Leases:
    """Leases of a node; the machine that tests may be slow, however short they are."""
    made = Leases(url, node, ttl)
    made.patience = 60.0
    return made


def made(lease: Lease, ttl: float) -> LeaseMark:
    """The mark of what was made when the lease was taken."""
    return LeaseMark(lease.fence, lease.until - timedelta(seconds=ttl))


def taken(node: Leases) -> Lease:
    """A lease of the camera, as soon as it can be had."""
    lease = until(lambda: node.acquire("gate"), "it is not free", pause=0.05)
    assert lease is not None
    return lease


def saved(store: EventStore, mark: LeaseMark, id: str = "e", **changes: object) -> bool:
    return store.save(replace(message(id, **changes), lease=mark))


def test_one_node_has_a_camera_until_it_gives_it_back(url: str) -> None:
    with leases(url, "a", LONG) as a, leases(url, "b", LONG) as b:
        first = a.acquire("gate")
        assert first is not None
        assert (first.fence, first.before) == (1, None)
        assert b.acquire("gate") is None
        assert b.acquire("yard") is not None
        assert a.holders() == {"gate": "a", "yard": "b"}
        assert b.renew({"gate": 1}) == {}
        b.release({"gate": 1})
        assert b.holder("gate") == "a"
        a.release({"gate": 1})
        second = b.acquire("gate")
        assert second is not None
        assert (second.fence, second.before) == (2, "a")
        assert a.renew({"gate": 1}) == {}
        assert b.renew({"gate": 2, "yard": 1}).keys() == {"gate", "yard"}
        assert a.nodes() == {"b"}
        log = a.log()
    assert [(one.camera, one.fence, one.node, one.ended) for one in log] == [
        ("gate", 1, "a", "released"),
        ("gate", 2, "b", None),
        ("yard", 1, "b", None),
    ]
    assert log[0].taken < log[0].until <= log[1].taken


def test_a_lease_that_is_not_renewed_runs_out_and_no_sooner(url: str) -> None:
    with leases(url, "a", SHORT) as a, leases(url, "b", SHORT) as b:
        first = taken(a)
        second = taken(b)
        assert second.until - timedelta(seconds=SHORT) >= first.until
        assert a.renew({"gate": first.fence}) == {}
    log = leases_of(url)
    assert log["gate"][0].ended == "expired"
    assert log["gate"][0].until == first.until
    assert list(overlaps(log)) == []


def test_a_process_that_begins_again_ends_what_the_one_before_had(url: str) -> None:
    with leases(url, "a", LONG) as before, leases(url, "a", LONG) as after, leases(url, "b", LONG) as other:
        assert before.acquire("gate") is not None
        assert other.acquire("yard") is not None
        assert after.acquire("gate") is None
        assert after.end_earlier() == ["gate"]
        assert after.acquire("gate") is not None
        assert before.renew({"gate": 1}) == {}
        assert other.renew({"yard": 1}).keys() == {"yard"}


def test_of_many_nodes_that_want_a_camera_at_once_one_gets_it(url: str) -> None:
    barrier, got = Barrier(6), list[Lease]()

    def want(node: str) -> None:
        with leases(url, node, LONG) as mine:
            mine.holders()
            for camera in ("gate", "yard", "door"):
                barrier.wait()
                if (lease := mine.acquire(camera)) is not None:
                    got.append(lease)

    threads = [Thread(target=want, args=(f"n{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((lease.camera, lease.fence) for lease in got) == [("door", 1), ("gate", 1), ("yard", 1)]


def test_events_are_saved_as_long_as_they_were_made_in_time(url: str) -> None:
    with leases(url, "a", SHORT) as a, leases(url, "b", SHORT) as b, EventStore(url) as store:
        first = taken(a)
        mark = made(first, SHORT)
        assert saved(store, mark)
        assert store.get("e").event == message("e").event
        assert saved(store, mark, version=2, end=3.0)
        assert not saved(store, mark, version=2, end=9.0)
        second = taken(b)
        assert saved(store, mark, "late", end=3.0)  # it waited, as the database was away
        assert not saved(store, replace(mark, at=second.until), "too late")
        assert not saved(store, replace(mark, fence=7), "never")
        assert sorted(one.event.id for one in store.find()) == ["e", "late"]


def test_what_a_later_holder_said_of_an_event_stands(url: str) -> None:
    with leases(url, "a", SHORT) as a, leases(url, "b", SHORT) as b, EventStore(url) as store:
        mark = made(taken(a), SHORT)
        assert saved(store, mark)
        later = made(taken(b), SHORT)
        assert saved(store, later, version=2, end=3.0)
        assert not saved(store, mark, version=5, peak_score=9.0)
        assert store.get("e").event.end == 3.0
        assert saved(store, later, version=3, end=4.0)


def test_an_event_that_a_dead_node_left_open_is_over_when_another_node_has_the_camera(url: str) -> None:
    with leases(url, "a", SHORT) as a, leases(url, "b", SHORT) as b, EventStore(url) as store:
        mark = made(taken(a), SHORT)
        assert saved(store, mark)
        assert saved(store, mark, "other", source="yard") is False  # a lease is of one camera
        store.save(message("unmarked", source="gate"))
        assert store.get("e").event.end is None
        later = made(taken(b), SHORT)
        event = store.get("e").event
        assert (event.end, event.version) == (0.4, 1)
        assert event.end_wall == WALL + timedelta(seconds=0.2)
        assert store.get("unmarked").event.end is None  # of a machine that watches alone
        assert saved(store, mark, version=2)  # which waited to be saved
        assert store.get("e").event.end == 0.4
        assert saved(store, mark, "waited")
        assert store.get("waited").event.end == 0.4
        assert saved(store, later, version=3, end=2.5)  # of the journal, which knew better
        assert store.get("e").event.end == 2.5


def test_a_save_at_the_moment_of_a_takeover_leaves_nothing_open(url: str) -> None:
    with leases(url, "a", SHORT) as a, leases(url, "b", SHORT) as b, EventStore(url) as store:
        for number in range(8):
            lease = taken(a)
            mark, barrier = made(lease, SHORT), Barrier(2)
            a.release({"gate": lease.fence})

            def save(mark: LeaseMark = mark, number: int = number, barrier: Barrier = barrier) -> None:
                barrier.wait()
                assert saved(store, mark, f"e{number}")

            thread = Thread(target=save)
            thread.start()
            barrier.wait()
            other = b.acquire("gate")
            thread.join()
            assert other is not None
            b.release({"gate": other.fence})
        assert [one.event.end for one in store.find()] == [0.4] * 8


def test_a_server_that_was_restarted_knows_all_leases(server: PostgresServer) -> None:
    url = server.new_database()
    with leases(url, "a", LONG) as a, leases(url, "b", LONG) as b:
        a.open()
        assert a.acquire("gate") is not None
        assert b.holders() == {"gate": "a"}
        server.stop("immediate")
        with pytest.raises(StoreUnavailable):
            a.renew({"gate": 1})
        server.start()
        assert a.renew({"gate": 1}).keys() == {"gate"}
        server.stop()
        server.start()
        assert b.acquire("gate") is None  # and the lost connection is not noticed
        assert b.acquire("yard") is not None


def test_a_network_that_swallows_everything_holds_nobody_up(server: PostgresServer) -> None:
    with Proxy(server.socket) as proxy:
        url = by_port(server.new_database(), proxy.port)
        with Leases(url, "a", 3.0) as a:
            a.open()
            assert a.acquire("gate") is not None
            proxy.stall()
            with pytest.raises(StoreUnavailable):
                a.renew({"gate": 1})
            proxy.resume()
            assert until(lambda: a.acquire("gate"), "it does not run out") is not None


def test_a_store_of_one_machine_has_no_leases(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="many machines need one store: give --store postgresql://"):
        Leases(f"sqlite:///{tmp_path}/events.db", "a")


def test_an_event_of_one_machine_is_saved_whoever_has_leases(url: str) -> None:
    with leases(url, "a", LONG) as a, EventStore(url) as store:
        assert a.acquire("gate") is not None
        assert store.save(message("e"))
        assert store.save(message("e", version=2, end=3.0))
