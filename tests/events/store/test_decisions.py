from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from msflow_stream.events.store import EventStore
from msflow_stream.types import UserError
from tests.support.events import message


def filled(store: EventStore, *ids: str) -> EventStore:
    for id in ids:
        store.save(message(id))
    return store


def labels(store: EventStore) -> dict[str, str | None]:
    return {one.event.id: one.label for one in store.find()}


def test_one_decision_covers_many_events_and_says_who_and_when(store_url: str) -> None:
    before = datetime.now(UTC)
    with EventStore(store_url) as store:
        filled(store, "a", "b", "c")
        store.decide(["a", "b", "a"], "ann", label="normal", note="  a\ud83d cat\0 ")
        assert labels(store) == {"a": "normal", "b": "normal", "c": None}
        found = store.exact("a")
        assert found is not None
        assert (found.note, found.labelled_by, found.kept) == ("a cat", "ann", False)
        assert found.labelled_at is not None
        assert before <= found.labelled_at <= datetime.now(UTC)


def test_an_undone_decision_puts_each_event_back_to_what_it_was(store_url: str) -> None:
    with EventStore(store_url) as store:
        filled(store, "a", "b")
        store.decide(["a"], "ann", label="unsure", kept=True, note="look again")
        was = store.exact("a"), store.exact("b")
        number = store.decide(["a", "b"], "bob", label="violation", note=None)
        assert labels(store) == {"a": "violation", "b": "violation"}
        assert sorted(store.undo(number, "bob")) == ["a", "b"]
        assert (store.exact("a"), store.exact("b")) == was
        assert store.undo(number, "bob") == []
        undone, first = store.decisions("a")
        assert (undone.number, undone.by, undone.undone_by) == (number, "bob", "bob")
        assert undone.before == {"label": "unsure", "note": "look again"}
        assert undone.after == {"label": "violation", "note": None}
        assert (first.by, first.undone_at) == ("ann", None)


def test_what_somebody_decided_otherwise_since_stays(store_url: str) -> None:
    with EventStore(store_url) as store:
        filled(store, "a", "b", "c")
        number = store.decide(["a", "b", "c"], "ann", label="normal")
        store.decide(["a"], "bob", label="violation")
        again = store.decide(["b"], "bob", label="normal")
        store.decide(["c"], "bob", note="this is about something else")
        assert store.undo(number, "ann") == ["c"]
        assert labels(store) == {"a": "violation", "b": "normal", "c": None}
        assert set(store.decided_events(number)) == {"a", "b", "c"}
        assert store.undo(again, "bob") == ["b"]
        assert store.undo(number, "ann") == ["b"], "nobody's decision stands in the way any more"
        assert labels(store) == {"a": "violation", "b": None, "c": None}


def test_a_decision_about_an_unknown_event_changes_none(store_url: str) -> None:
    with EventStore(store_url) as store:
        filled(store, "a")
        with pytest.raises(UserError, match="there is no event 'z'"):
            store.decide(["a", "z"], "ann", label="normal")
        with pytest.raises(UserError, match="there is no event"):
            store.decide(["a", "\0"], "ann", label="normal")
        with pytest.raises(UserError, match="there is no event"):
            store.decide(["a", "\ud800"], "ann", label="normal")
        with pytest.raises(UserError, match="no label"):
            store.decide(["a"], "ann", label="maybe")  # type: ignore[arg-type]
        with pytest.raises(UserError, match="4000 at most"):
            store.decide(["a"], "ann", note="x" * 4001)
        assert labels(store) == {"a": None}
        assert store.decisions("a") == []
        with pytest.raises(UserError, match="there is no decision 7"):
            store.undo(7, "ann")


def test_labels_stay_when_more_is_known_of_the_event(store_url: str) -> None:
    with EventStore(store_url) as store:
        filled(store, "a")
        number = store.decide(["a"], "ann", label="unsure", note="perhaps")
        store.save(message("a", version=2, peak_score=9.0))
        found = store.exact("a")
        assert found is not None
        assert (found.event.version, found.label, found.note, found.labelled_by) == (2, "unsure", "perhaps", "ann")
        assert store.undo(number, "ann") == ["a"]
        assert (found := store.exact("a")) is not None
        assert found.event.version == 2


def test_people_who_decide_at_once_lose_nothing(store_url: str) -> None:
    ids = [f"e{number}" for number in range(8)]
    with EventStore(store_url) as store, ThreadPoolExecutor(8) as threads:
        filled(store, *ids)
        numbers = list(threads.map(lambda n: store.decide(ids[n % 3 :], f"p{n}", label="normal"), range(16)))
        assert len(set(numbers)) == 16
        assert len(store.decisions("e7")) == 16
        undone = list(threads.map(lambda number: store.undo(number, "p"), numbers))
        last = store.decisions("e7")[0]
        assert last.undone_by == "p"
        assert "e7" in undone[numbers.index(last.number)]
        for number in sorted(numbers, reverse=True):
            store.undo(number, "p")
        assert set(labels(store).values()) == {None}
