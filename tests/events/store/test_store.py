from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msflow_stream.events.store import EventFilter, EventStore
from msflow_stream.types import EventMessage, UserError
from tests.support.events import REASON, WALL, event, message


def life(id: str) -> list[EventMessage]:
    """All that is said of an event."""
    return [
        message(id),
        *(message(id, version=number, peak_score=3.5 + number) for number in (2, 3, 4)),
        message(id, version=5, peak_score=8.5, end=9.25, end_wall=WALL + timedelta(seconds=9), severity="high"),
    ]


def save_all(url: str, messages: list[EventMessage], ready: Barrier) -> None:
    """A program of its own, which begins when all others are ready."""
    with EventStore(url) as store:
        ready.wait(240)
        for one in messages:
            store.save(one)


def test_an_event_comes_back_as_it_was(store_url: str) -> None:
    full = event(why=REASON, peak_index=2**40, peak_score=math.inf, end=1e9 + 0.125, end_wall=WALL, start=1 / 3)
    bare = event("file-1", start_wall=None, probability=None, regions=(), tracks=(), triggers=())
    with EventStore(store_url) as store:
        assert store.save(EventMessage("close", full))
        assert store.save(EventMessage("open", bare))
        assert (store.get("gate-5").event, store.get("file-1").event) == (full, bare)
    with EventStore(store_url) as store:
        found = store.get("gate-5")
        assert (found.event, found.happened, found.label, found.kept) == (full, WALL, None, False)


def test_a_repeated_or_older_version_changes_nothing(store_url: str) -> None:
    first, *_, third, fourth, last = life("a")
    with EventStore(store_url) as store:
        assert [store.save(one) for one in (first, first, fourth, third, fourth)] == [True, False, True, False, False]
        assert store.save(replace(fourth, event=replace(fourth.event, peak_score=99.0))) is False
        assert store.get("a").event == fourth.event
        assert store.save(last) is True
        assert [one.event for one in store.find()] == [last.event]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_messages_in_any_order_and_any_number_end_in_the_last_version(store_url: str, chance: random.Random) -> None:
    with EventStore(store_url) as store:
        before = store.find()
        first, second = (life(f"e{len(before) + number}") for number in (0, 1))
        messages = [*chance.choices(first + second, k=12), first[-1], second[-1]]
        chance.shuffle(messages)
        for one in messages:
            store.save(one)
        found = {one.event for one in store.find()} - {one.event for one in before}
        assert found == {first[-1].event, second[-1].event}


def test_many_threads_that_save_the_same_in_any_order_lose_and_double_nothing(store_url: str) -> None:
    messages = [one for number in range(6) for one in life(f"e{number}")]
    with EventStore(store_url) as store, ThreadPoolExecutor(8) as threads:
        orders = [random.Random(seed).sample(messages, len(messages)) for seed in range(8)]
        saved = [
            one for done in threads.map(lambda order: [store.save(each) for each in order], orders) for one in done
        ]
        found = {one.event.id: one.event for one in store.find()}
    assert found == {f"e{number}": life(f"e{number}")[-1].event for number in range(6)}
    assert 6 <= sum(saved) <= len(messages)


def test_processes_that_make_the_same_new_store_and_save_the_same_agree(store_url: str) -> None:
    messages = [one for number in range(4) for one in life(f"e{number}")]
    fork = get_context("forkserver")  # four processes, but one in which all that they need is imported
    fork.set_forkserver_preload([__name__])
    orders = [random.Random(seed).sample(messages, len(messages)) for seed in range(4)]
    ready = fork.Barrier(len(orders))
    processes = [fork.Process(target=save_all, args=(store_url, order, ready)) for order in orders]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    with EventStore(store_url) as store:
        found = [one.event for one in store.find()]
    assert sorted(found, key=lambda one: one.id) == [life(f"e{number}")[-1].event for number in range(4)]


def test_events_are_found_newest_first_by_what_is_asked(store_url: str) -> None:
    with EventStore(store_url) as store:
        for hour, severity in enumerate(("low", "medium", "high", "low")):
            camera = "gate" if hour % 2 else "yard"
            start = WALL + timedelta(hours=hour)
            store.save(message(f"e{hour}", source=camera, severity=severity, start_wall=start))
        store.label("e1", "normal")
        store.label("e3", "violation")

        def found(which: EventFilter) -> list[str]:
            return [one.event.id for one in store.find(which)]

        assert found(EventFilter()) == ["e3", "e2", "e1", "e0"]
        assert found(EventFilter(limit=3)) == ["e3", "e2", "e1"]
        assert found(EventFilter(camera="gate")) == ["e3", "e1"]
        assert found(EventFilter(severity="medium")) == ["e2", "e1"]
        assert found(EventFilter(since=WALL + timedelta(hours=1), until=WALL + timedelta(hours=3))) == ["e2", "e1"]
        assert found(EventFilter(label="normal")) == ["e1"]
        assert found(EventFilter(label="none")) == ["e2", "e0"]
        assert found(EventFilter(camera="gate", label="violation", severity="high")) == []
        assert found(EventFilter(camera="Gate")) == []


def test_events_of_files_are_sorted_by_when_they_were_first_saved(store_url: str) -> None:
    before = datetime.now(UTC)
    with EventStore(store_url) as store:
        for id in ("first", "second"):
            store.save(message(id, start_wall=None, start=500.0))
        store.save(message("live", start_wall=before - timedelta(days=1)))
        store.save(message("first", start_wall=None, start=500.0, version=2, end=600.0))
        found = store.find()
        assert [one.event.id for one in found] == ["second", "first", "live"]
        assert before <= found[1].happened <= found[0].happened <= datetime.now(UTC)
        assert [one.event.id for one in store.find(EventFilter(since=before))] == ["second", "first"]


def test_what_people_said_stays_when_more_is_known_of_the_event(store_url: str) -> None:
    with EventStore(store_url) as store:
        store.save(message("a"))
        assert store.label("a", "violation").label == "violation"
        assert store.keep("a", True).kept
        store.save(life("a")[-1])
        found = store.get("a")
        assert (found.event, found.label, found.kept) == (life("a")[-1].event, "violation", True)
        assert store.kept_ids() == {"a"}
        store.label("a", None)
        store.keep("a", False)
        found = store.get("a")
        assert (found.label, found.kept, store.kept_ids()) == (None, False, frozenset())


def test_an_id_may_be_cut_short_as_long_as_it_is_clear(store_url: str) -> None:
    with EventStore(store_url) as store:
        for id in ("gate-1", "gate-12", "yard-9", "50%_a"):
            store.save(message(id))
        assert store.get("yard").event.id == "yard-9"
        assert store.get("50%").event.id == "50%_a"
        assert store.get("gate-1").event.id == "gate-1"  # it is whole
        assert store.label("gate-12", "normal").event.id == "gate-12"
        with pytest.raises(UserError, match=r"more than one event's id begins with 'gate' \(gate-1, gate-12\)"):
            store.get("gate")
        for unknown in ("gate-3", "YARD", "%", "____-_", ""):
            with pytest.raises(UserError, match="no event"):
                store.get(unknown)
        with pytest.raises(UserError, match="no event"):
            store.label("gate-3", "normal")


def test_a_label_that_there_is_not_is_refused(store_url: str) -> None:
    with EventStore(store_url) as store:
        store.save(message("a"))
        with pytest.raises(UserError, match="'maybe' is no label: give violation, normal or unsure"):
            store.label("a", "maybe")  # type: ignore[arg-type]


def test_readers_of_sqlite_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    with EventStore(f"sqlite:///{tmp_path}/events.db") as store:
        store.save(message("a"))
        with store._engine.connect() as writer:
            assert writer.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            writer.exec_driver_sql("BEGIN IMMEDIATE")
            writer.exec_driver_sql("UPDATE events SET version = 7")
            assert store.get("a").event.version == 1
            writer.rollback()
