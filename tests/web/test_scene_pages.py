"""The pages about scenes: what they show of whom, and what a person does there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from msflow_stream.events.store import StoredEvent
from msflow_stream.teaching.layout import wanted_file
from msflow_stream.teaching.progress import Progress
from msflow_stream.teaching.taught import Taught
from msflow_stream.teaching.versions import Versions
from msflow_stream.web.access.roles import LOCAL, Role, User
from tests.support.console import seeded
from tests.support.seeded_teaching import propose, seed_teaching
from tests.web.test_event_pages import Browser

GATE = User("guard", Role.OPERATOR, frozenset({"gate"}))
YARD = User("clerk", Role.OPERATOR, frozenset({"yard"}))


class Taughts(Browser):
    """Browsers of a console whose scene `gate` was taught."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self.taught: list[StoredEvent] = seed_teaching(out)
        self.scene = out.parent / "scenes" / "gate"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Taughts]:
    one = Taughts(seeded(tmp_path, cameras=2, events=12, hours=0.2, labelled=0))
    yield one
    one.console.store.close()


def test_a_scene_shows_its_candidate_what_was_taught_and_its_shadow(browser: Taughts) -> None:
    page = browser.of().get("/scenes/gate").text
    assert "<b>Version 2</b>" in page
    assert "Normal events that still alarm: 0 of" in page
    assert "41 of 1800" in page
    assert re.findall(r'<li data-id="([^"]+)">', page)[: len(browser.taught)] == [
        one.event.id for one in sorted(browser.taught, key=lambda one: one.happened, reverse=True)
    ]
    for path in re.findall(r'<img src="(/scenes[^"]+)"', page):
        assert browser.of().get(path).headers["content-type"] == "image/jpeg"


def test_a_candidate_is_promoted_and_rolled_back_to_the_same_bytes(browser: Taughts) -> None:
    asked = browser.of()
    before = (browser.scene / "scene.json").read_bytes()
    answer = asked.post("/scenes/gate/promote", json={"candidate": 2})
    assert answer.json()["version"] == 2
    assert "does not run" in answer.json()["watch"]
    assert (browser.scene / "scene.json").read_bytes() != before
    assert "Roll back to version 1" in asked.get("/scenes/gate").text
    assert asked.post("/scenes/gate/rollback", json={}).json()["version"] == 1
    assert (browser.scene / "scene.json").read_bytes() == before


def test_a_candidate_that_nobody_looked_at_is_not_promoted(browser: Taughts) -> None:
    propose(browser.scene, browser.taught)
    assert browser.of().post("/scenes/gate/promote", json={"candidate": 2}).status_code == 409
    assert browser.of().post("/scenes/gate/discard", json={"candidate": 2}).status_code == 409
    assert Versions(browser.scene).candidate is not None


def test_a_candidate_is_not_promoted_untried_on_a_violation_unless_somebody_says_so(browser: Taughts) -> None:
    asked, id = browser.of(), browser.taught[0].event.id
    assert "Promote anyway" not in asked.get("/scenes/gate").text
    file = Taught(browser.scene).folder / id / "event.json"
    values = json.loads(file.read_text())
    values["taught"] |= {"label": "violation", "labelled_at": "2100-01-01T00:00:00+00:00", "obstacle": None}
    values["taught"]["clips"] = [{"file": "event.json", "start": 0.0, "end": 1.0}]
    file.write_text(json.dumps(values))
    page = asked.get("/scenes/gate").text
    assert "was not tried on" in page
    assert "Promote anyway" in page
    refused = asked.post("/scenes/gate/promote", json={"candidate": 2})
    assert refused.status_code == 409
    assert id in refused.text
    assert Versions(browser.scene).candidate is not None
    done = asked.post("/scenes/gate/promote", json={"candidate": 2, "anyway": True}).json()
    assert (done["version"], done["untried"]) == (2, [id])


def test_a_candidate_is_discarded(browser: Taughts) -> None:
    assert browser.of().post("/scenes/gate/discard", json={}).json()["version"] == 2
    page = browser.of().get("/scenes/gate").text
    assert 'data-do="promote"' not in page
    assert browser.of().post("/scenes/gate/discard", json={}).status_code == 422


def test_a_refused_candidate_names_what_it_misses(browser: Taughts) -> None:
    event = browser.taught[2].event.id
    browser.of().post("/scenes/gate/discard", json={})
    propose(browser.scene, browser.taught, ({"event": event, "text": f"it would miss {event}"},))
    page = browser.of().get("/scenes/gate").text
    assert "was refused" in page
    assert f"it would miss {event}" in page


def test_teach_now_leaves_a_wish_on_the_disk(browser: Taughts) -> None:
    assert browser.of(GATE).post("/scenes/gate/teach", json={}).status_code == 200
    assert json.loads(wanted_file(browser.scene).read_text())["by"] == "guard"
    assert browser.of().get("/scenes/gate/state").json()["progress"]["text"].startswith("A candidate is asked for")


def test_the_progress_of_a_fit_is_told(browser: Taughts) -> None:
    Progress(stage="fitting", done=3, of=6, unit="passes").write(browser.scene.parent / ".gate.teach")
    assert browser.of().get("/scenes/gate/state").json()["progress"]["share"] == 0.5


def test_who_asks_while_a_candidate_is_fitted_is_told_that_another_follows(browser: Taughts) -> None:
    Progress(stage="fitting", done=3, of=6, unit="passes").write(browser.scene.parent / ".gate.teach")
    browser.of(GATE).post("/scenes/gate/teach", json={})
    assert "Another one is asked for" in browser.of().get("/scenes/gate/state").json()["progress"]["text"]


def test_to_follow_a_fit_reads_no_taught_event_anew(browser: Taughts, monkeypatch: pytest.MonkeyPatch) -> None:
    first = browser.of().get("/scenes/gate/state").json()
    monkeypatch.setattr(Taught, "entries", property(lambda self: pytest.fail("it reads them all")))
    assert browser.of().get("/scenes/gate/state").json() == first


def test_a_taught_event_that_is_removed_has_no_label_any_more(browser: Taughts) -> None:
    id = browser.taught[0].event.id
    assert browser.of().request("DELETE", f"/scenes/gate/taught/{id}", json={}).status_code == 200
    stored = browser.console.store.exact(id)
    assert stored is not None
    assert stored.label is None
    assert Taught(browser.scene).read(id) is None
    assert browser.of().request("DELETE", "/scenes/gate/taught/ghost", json={}).status_code == 404


def test_what_is_done_is_in_the_audit_log(browser: Taughts) -> None:
    browser.of(GATE).post("/scenes/gate/promote", json={})
    entry = browser.console.accounts.audit_lines(1)[0]
    assert (entry.by, entry.action, entry.target) == ("guard", "promote", "scene gate")


def test_the_scene_of_cameras_that_a_person_may_not_see_is_not_there(browser: Taughts) -> None:
    asked = browser.of(YARD)
    assert asked.get("/scenes/gate").status_code == 404
    assert 'scenes/gate"' not in asked.get("/scenes").text
    for what in ("promote", "rollback", "discard", "teach"):
        assert asked.post(f"/scenes/gate/{what}", json={}).status_code == 404


def test_a_scene_that_is_shared_with_cameras_they_may_not_see_is_not_changed(browser: Taughts) -> None:
    cameras = browser.out.parent / "cameras.yaml"
    cameras.write_text(cameras.read_text().replace('scene: "yard"', 'scene: "gate"'))
    asked = browser.of(YARD)
    page = asked.get("/scenes/gate").text
    assert "others that you may not see" in page
    assert "gate-2026" not in page
    assert "data-do" not in page
    for what in ("promote", "rollback", "discard", "teach"):
        assert asked.post(f"/scenes/gate/{what}", json={}).status_code == 403
    thumb = f"/scenes/gate/taught/{browser.taught[0].event.id}/thumb.jpg"
    assert asked.get(thumb).status_code == 404
    assert asked.get("/scenes/gate/shadow/1.jpg").status_code == 404


def test_the_event_page_says_what_became_of_a_label(browser: Taughts) -> None:
    newest, learnt, tried = (one.event.id for one in browser.taught[:3])
    asked = browser.of(LOCAL)
    for link in ("/cameras/gate", "/scenes/gate"):
        assert f'href="{link}"' in asked.get(f"/events/{newest}").text
    assert "the next candidate learns it" in asked.get(f"/events/{newest}").text
    assert "Taught: the candidate, version 2" in asked.get(f"/events/{learnt}").text
    assert "Tried: the candidate, version 2" in asked.get(f"/events/{tried}").text
    asked.post("/scenes/gate/promote", json={})
    assert "Taught: the scene as it is watched with" in asked.get(f"/events/{learnt}").text
