"""Normal here: one decision labels an event and excepts its place; one undo takes both back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from msflow_stream.events.store import StoredEvent
from msflow_stream.teaching.exceptions import Exceptions, SoftException
from tests.support.console import seeded
from tests.web.test_event_pages import Browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    one = Browser(seeded(tmp_path_factory.mktemp("here"), events=12, hours=0.2, labelled=0))
    yield one
    one.console.store.close()


def scene_of(browser: Browser, stored: StoredEvent) -> Path:
    return browser.console.scenes / stored.event.scene


def excepted(browser: Browser, stored: StoredEvent) -> list[SoftException]:
    return [one for one in Exceptions(scene_of(browser, stored)).entries if one.event == stored.event.id]


def local(browser: Browser) -> StoredEvent:
    return next(one for one in browser.events() if one.event.tracks and "view" not in one.event.triggers)


def test_it_is_labelled_and_excepted_and_one_undo_takes_both_back(browser: Browser) -> None:
    stored, asked = local(browser), browser.of()
    said = asked.post("/decisions", json={"ids": [stored.event.id], "label": "normal", "here": True}).json()
    assert (said["events"][0]["label"], said["exceptions"]) == ("normal", 1)
    (made,) = excepted(browser, stored)
    assert (made.camera, made.by, made.decision) == (stored.event.source, "local", said["decision"])
    assert made.peaks["combined"] >= stored.event.peak_score  # by its recorded frames
    assert 'aria-pressed="true"' in asked.get(f"/events/{stored.event.id}").text.partition('id="here"')[2][:300]
    asked.delete(f"/decisions/{said['decision']}")
    assert excepted(browser, stored) == []
    assert browser.console.store.get(stored.event.id).label is None


def test_who_says_later_that_it_is_none_takes_the_exception_away(browser: Browser) -> None:
    stored, asked = local(browser), browser.of()
    asked.post("/decisions", json={"ids": [stored.event.id], "label": "normal", "here": True})
    asked.post("/decisions", json={"ids": [stored.event.id], "note": "the mail"})
    assert excepted(browser, stored)
    asked.post("/decisions", json={"ids": [stored.event.id], "label": "violation"})
    assert excepted(browser, stored) == []


def test_what_would_hide_too_much_is_refused_and_nothing_is_labelled(browser: Browser) -> None:
    stored = next(one for one in browser.events() if "view" in one.event.triggers)
    answer = browser.of().post("/decisions", json={"ids": [stored.event.id], "label": "normal", "here": True})
    assert answer.status_code == 422
    assert "about the whole view" in answer.json()["error"]
    assert browser.console.store.get(stored.event.id).label is None
    for wrong in ({"label": "violation", "here": True}, {"here": True, "kept": True}, {"label": "normal", "here": 1}):
        assert browser.of().post("/decisions", json={"ids": [stored.event.id], **wrong}).status_code == 422


def test_the_page_of_the_camera_lists_them_and_one_is_removed(browser: Browser) -> None:
    stored, asked = local(browser), browser.of()
    asked.post("/decisions", json={"ids": [stored.event.id], "label": "normal", "here": True})
    (made,) = excepted(browser, stored)
    address = f"/cameras/{stored.event.source}"
    assert f'data-id="{made.id}"' in asked.get(address).text
    listed = asked.get(f"{address}/exceptions").json()["exceptions"]
    assert [(one["id"], one["event"]) for one in listed] == [(made.id, stored.event.id)]
    assert asked.delete(f"{address}/exceptions/{made.id}").json() == {"removed": made.id}
    assert asked.delete(f"{address}/exceptions/{made.id}").status_code == 404
    assert excepted(browser, stored) == []
    assert browser.console.store.get(stored.event.id).label == "normal"
