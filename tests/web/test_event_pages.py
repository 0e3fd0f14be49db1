"""The list of events, one event, its files, and decisions."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from msflow_stream.events.evidence.event_folder import KEEP
from msflow_stream.events.store import EventFilter, StoredEvent
from msflow_stream.web.access.roles import LOCAL, Role, User
from msflow_stream.web.console.app import make_app
from msflow_stream.web.console.context import Console
from tests.support.console import console_of, seeded


class Browser:
    """Browsers of people who are known without a gate, and the console that they ask."""

    def __init__(self, out: Path) -> None:
        self.console: Console = console_of(out)
        self.out = out

    def of(self, user: User = LOCAL) -> TestClient:
        def known(app: ASGIApp, **_: object) -> ASGIApp:
            async def serve(scope: Scope, receive: Receive, send: Send) -> None:
                scope.setdefault("state", {})["user"] = user
                await app(scope, receive, send)

            return serve

        return TestClient(make_app(self.console, known), base_url="http://127.0.0.1")

    def events(self) -> list[StoredEvent]:
        return self.console.store.find()

    def folder(self, stored: StoredEvent) -> Path:
        return self.out / stored.event.source / "events" / stored.event.id


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    one = Browser(seeded(tmp_path_factory.mktemp("events"), events=60, hours=0.5, labelled=0))
    yield one
    one.console.store.close()


def ids(page: str) -> list[str]:
    return re.findall(r'data-id="([^"]+)"', page)


def test_the_list_goes_on_where_its_page_ends(browser: Browser) -> None:
    asked = browser.of()
    first = asked.get("/events").text
    more = re.search(r'id="more" href="([^"]+)"', first)
    assert more is not None
    second = asked.get(more[1].replace("&amp;", "&")).text
    assert ids(first) + ids(second) == [stored.event.id for stored in browser.events()]
    assert 'id="more"' not in second


@pytest.mark.parametrize("asked", ["camera=gate", "severity=high", "trigger=view", "text=upwards", "span=1h", "kept=1"])
def test_a_filter_in_the_address_is_for_the_store(browser: Browser, asked: str) -> None:
    page = browser.of().get(f"/events?{asked}&label=none").text
    name, _, value = asked.partition("=")
    true = {
        "camera": lambda stored: stored.event.source == value,
        "severity": lambda stored: stored.event.severity == value,
        "trigger": lambda stored: value in stored.event.triggers,
        "text": lambda stored: stored.event.why is not None and value in stored.event.why.text,
        "span": lambda stored: True,
        "kept": lambda stored: stored.kept,
    }[name]
    assert ids(page) == [stored.event.id for stored in browser.events() if true(stored)][:40]


def test_a_filter_that_makes_no_sense_is_refused_in_words(browser: Browser) -> None:
    for asked in ("severity=worst", "from=tomorrow", "before=x", "label=maybe"):
        answer = browser.of().get(f"/events?{asked}")
        assert answer.status_code == 422
        assert "That cannot be done" in answer.text


def test_people_see_the_events_of_their_cameras_only(browser: Browser) -> None:
    asked = browser.of(User("mira", Role.OPERATOR, frozenset({"gate"})))
    theirs, other = (
        next(one for one in browser.events() if (one.event.source == "gate") is own) for own in (True, False)
    )
    assert {id.partition("-")[0] for id in ids(asked.get("/events").text)} == {"gate"}
    assert {id.partition("-")[0] for id in asked.get("/events.json").json()["ids"]} == {"gate"}
    for path in ("", "/details", "/said", "/decisions", "/thumb.jpg", "/files/clip.mp4"):
        assert asked.get(f"/events/{theirs.event.id}{path}").status_code == 200
        assert asked.get(f"/events/{other.event.id}{path}").status_code == 404
    both = {"ids": [theirs.event.id, other.event.id], "label": "normal"}
    assert asked.post("/decisions", json=both).status_code == 404
    assert browser.console.store.count() == 60
    assert "gate" in asked.get("/triage").text
    assert "yard-" not in asked.get("/triage").text


def test_viewers_judge_nothing(browser: Browser) -> None:
    asked = browser.of(User("vera", Role.VIEWER))
    (one, *_) = browser.events()
    assert asked.post("/decisions", json={"ids": [one.event.id], "label": "normal"}).status_code == 403
    assert asked.delete("/decisions/1").status_code == 403
    for page in ("/events", f"/events/{one.event.id}", "/triage"):
        assert 'data-label="normal"' not in asked.get(page).text


def test_one_decision_covers_many_events_and_is_taken_back_at_once(browser: Browser) -> None:
    asked = browser.of()
    some = [stored.event.id for stored in browser.events()[:20]]
    answer = asked.post("/decisions", json={"ids": some, "label": "violation", "note": " a cart "}).json()
    assert {(one["label"], one["note"], one["labelled_by"]) for one in answer["events"]} == {
        ("violation", "a cart", "local")
    }
    assert asked.get(f"/events/{some[3]}/decisions").json()["decisions"][0]["after"]["label"] == "violation"
    assert browser.console.accounts.audit_lines(1)[0].action == "label"
    back = asked.delete(f"/decisions/{answer['decision']}").json()
    assert {one["id"] for one in back["events"]} == set(some)
    assert {(one["label"], one["note"]) for one in back["events"]} == {(None, None)}
    assert asked.delete(f"/decisions/{answer['decision']}").json() == {"events": [], "left": 20}


def test_what_is_kept_is_marked_beside_the_evidence_and_by_undo_no_longer(browser: Browser) -> None:
    asked, one = browser.of(), browser.events()[1]
    mark = browser.folder(one) / KEEP
    number = asked.post("/decisions", json={"ids": [one.event.id], "kept": True}).json()["decision"]
    assert mark.exists()
    asked.delete(f"/decisions/{number}")
    assert not mark.exists()


@pytest.mark.parametrize(
    "sent",
    [
        {"ids": [], "label": "normal"},
        {"ids": "all", "label": "normal"},
        {"ids": [1], "label": "normal"},
        {"ids": ["x"]},
        {"ids": ["x"], "label": 3},
        {"ids": ["x"], "kept": "yes"},
        {"ids": ["x"] * 2001, "label": "normal"},
    ],
)
def test_decisions_that_make_no_sense_are_refused(browser: Browser, sent: object) -> None:
    assert browser.of().post("/decisions", json=sent).status_code == 422


def test_a_label_that_is_none_and_an_event_that_is_none_are_refused(browser: Browser) -> None:
    asked, (one, *_) = browser.of(), browser.events()
    assert asked.post("/decisions", json={"ids": [one.event.id], "label": "bad"}).status_code == 422
    assert asked.post("/decisions", json={"ids": ["gate"], "label": "normal"}).status_code == 404
    assert asked.delete("/decisions/99999999").status_code in (404, 422)
    assert asked.delete("/decisions/-1").status_code == 404


def test_the_event_page_tells_why_and_leads_on(browser: Browser) -> None:
    events = [stored for stored in browser.events() if stored.event.source == "gate"]
    page = browser.of().get(f"/events/{events[1].event.id}?camera=gate").text
    why = events[1].event.why
    assert why is not None
    assert why.text in page
    assert f'id="newer-event" rel="prev" href="/events/{events[0].event.id}?camera=gate"' in page
    assert f'id="older-event" rel="next" href="/events/{events[2].event.id}?camera=gate"' in page


def test_the_details_have_every_frame_of_the_clip_and_the_scores_of_its_time(browser: Browser) -> None:
    event = browser.events()[0].event
    details = browser.of().get(f"/events/{event.id}/details").json()
    (clip,) = details["clips"]
    assert (clip["codec"], clip["width"], clip["height"]) == ("h264", 320, 180)
    assert clip["times"] == pytest.approx([number / 25 for number in range(200)])
    scores = details["scores"]
    at = scores["index"].index(event.peak_index)
    assert scores["time"][at] == event.peak_time
    assert scores["alarm"][at] == 1
    assert scores["time"][0] >= clip["start"] - 10
    assert len(scores["index"]) == len(scores["score"]) == len(scores["threshold"])


def test_thumbnails_are_small_and_kept_by_the_browser(browser: Browser) -> None:
    asked, (one, *_) = browser.of(), browser.events()
    answer = asked.get(f"/events/{one.event.id}/thumb.jpg?width=160")
    assert Image.open(io.BytesIO(answer.content)).size == (160, 90)
    assert "max-age" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(asked.get(f"/events/{one.event.id}/thumb.jpg?width=9999").content)).width == 320


def test_clips_are_sent_in_ranges_and_to_be_saved(browser: Browser) -> None:
    asked, (one, *_) = browser.of(), browser.events()
    path, whole = f"/events/{one.event.id}/files/clip.mp4", (browser.folder(one) / "clip.mp4").read_bytes()
    full = asked.get(path)
    assert (full.content, full.headers["content-type"], full.headers["accept-ranges"]) == (whole, "video/mp4", "bytes")
    part = asked.get(path, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    same = {"Range": "bytes=0-9", "If-Range": full.headers["etag"]}
    assert asked.get(path, headers=same).status_code == 206
    assert asked.get(path, headers={**same, "If-Range": '"other"'}).status_code == 200
    assert asked.get(path, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
    saved = asked.get(f"{path}?download=1").headers["content-disposition"]
    assert saved == f'attachment; filename="{one.event.id}-clip.mp4"'
    assert asked.head(path).headers["content-length"] == str(len(whole))
    record = asked.get(f"/events/{one.event.id}/files/event.json").json()
    assert record["event"]["id"] == one.event.id


def test_of_a_clip_that_grows_a_player_gets_what_there_was(browser: Browser) -> None:
    asked, one = browser.of(), browser.events()[3]
    clip = browser.folder(one) / "clip.mp4"
    whole, path = clip.read_bytes(), f"/events/{one.event.id}/files/clip.mp4?bytes=1000"
    first = asked.get(path)
    with clip.open("ab") as file:
        file.write(b"more")
    try:
        second = asked.get(path, headers={"Range": "bytes=500-", "If-Range": first.headers["etag"]})
    finally:
        clip.write_bytes(whole)
    assert (first.content, second.status_code, second.content) == (whole[:1000], 206, whole[500:1000])
    assert second.headers["content-range"] == "bytes 500-999/1000"
    assert asked.get(path.replace("1000", "999999999")).content == whole


def test_only_what_the_evidence_lists_is_sent(browser: Browser, tmp_path: Path) -> None:
    asked, one = browser.of(), browser.events()[2]
    folder = browser.folder(one)
    secret = tmp_path / "secret.mp4"
    secret.write_text("secret")
    (folder / "clip-2.mp4").symlink_to(secret)
    record = json.loads((folder / "event.json").read_text())
    whole = json.dumps(record)
    record["evidence"]["clips"] += [
        {"file": name, "start": 0, "end": 1, "copied": True}
        for name in ("clip-2.mp4", str(secret), "../../scores.csv", "..")
    ]
    (folder / "event.json").write_text(json.dumps(record))
    (folder / "clip-9.mp4").write_text("not listed")
    names = ("clip-2.mp4", "clip-9.mp4", "keep", "..%2f..%2fscores.csv", "%2e%2e", "..%5cscores.csv", "clip.mp4%00.jpg")
    try:
        for name in (*names, str(secret).replace("/", "%2f")):
            assert asked.get(f"/events/{one.event.id}/files/{name}").status_code == 404, name
        assert asked.get(f"/events/{one.event.id}/files/clip.mp4").status_code == 200
    finally:
        (folder / "event.json").write_text(whole)
        for name in ("clip-2.mp4", "clip-9.mp4"):
            (folder / name).unlink()


def test_an_event_without_evidence_has_its_page_all_the_same(browser: Browser) -> None:
    asked, one = browser.of(), browser.events()[-1]
    folder = browser.folder(one)
    place = browser.console.store.page(EventFilter(), None, 59)[1].text  # type: ignore[union-attr]
    away = folder.rename(folder.with_name("away"))
    try:
        assert "The recording is gone" in asked.get(f"/events/{one.event.id}").text
        assert asked.get(f"/events/{one.event.id}/details").json()["clips"] == []
        assert asked.get(f"/events/{one.event.id}/thumb.jpg").status_code == 404
        assert "no evidence any more" in asked.get(f"/events?before={place}").text
    finally:
        away.rename(folder)


def test_triage_has_all_that_nobody_judged_in_few_groups(browser: Browser) -> None:
    page = browser.of().get("/triage").text
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    groups = json.loads(found[1])["groups"]
    assert sum(len(group["members"]) for group in groups) == 60
    assert len(groups) <= 7
    assert {group["camera"] for group in groups} == {"gate", "yard", "hall"}
