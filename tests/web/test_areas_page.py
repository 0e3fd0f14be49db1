"""The page of areas: what it shows, what it tries, and what it writes into the cameras file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from msflow_stream.config.cameras_file import load_file
from msflow_stream.web.access.roles import Role, User
from tests.support.console import seeded
from tests.support.seeded_watch import SeededWatch
from tests.web.test_event_pages import Browser

SQUARE = [[0.1, 0.2], [0.3, 0.2], [0.3, 0.4]]
NONE = {"watch": [], "ignore": [], "privacy": []}
ALL = [[0, 0], [1, 0], [1, 1], [0, 1]]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeded(tmp_path_factory.mktemp("areas"), events=3, hours=0.1, evidence=False)


@pytest.fixture
def browser(out: Path) -> Iterator[TestClient]:
    place = Browser(out)
    with place.of() as one:
        yield one
    place.console.store.close()


def values_of(browser: TestClient) -> dict[str, Any]:
    """What the page knows, by an answer to what changes nothing."""
    page = browser.get("/cameras/gate/areas")
    assert page.status_code == 200
    text = page.text.partition('id="data">')[2].partition("</script>")[0]
    return dict(json.loads(text))


def test_areas_are_saved_taken_up_and_put_back(browser: TestClient, out: Path) -> None:
    file = out.parent / "cameras.yaml"
    before, now = file.read_text(), values_of(browser)
    wanted = {**NONE, "privacy": [SQUARE]}
    with SeededWatch(out) as watch:
        saved = browser.post("/cameras/gate/areas", json={"areas": wanted, "hash": now["hash"]})
        assert saved.status_code == 200, saved.text
        assert load_file(file).cameras["gate"].privacy == (((0.1, 0.2), (0.3, 0.2), (0.3, 0.4)),)
        assert saved.json()["watch"] == "the watch has taken it up"
        assert any("reload" in one for one in watch.asked)
        stale = browser.post("/cameras/gate/areas", json={"areas": NONE, "hash": now["hash"]})
        assert stale.status_code == 422
        assert "changed meanwhile" in stale.json()["error"]
    change = {key: saved.json()[key] for key in ("before", "after")}
    undone = browser.post("/cameras/gate/areas/undo", json=change)
    assert undone.json()["watch"] == "the watch takes it up when it starts"
    assert file.read_text() == before


def test_the_last_alarms_are_told_of(browser: TestClient) -> None:
    answer = browser.post("/cameras/gate/areas/alarms", json={"areas": {**NONE, "ignore": [SQUARE]}})
    assert answer.status_code == 200, answer.text
    assert "alarm" in answer.json()["said"]
    areas = {**values_of(browser)["areas"], "privacy": [SQUARE]}
    same = browser.post("/cameras/gate/areas/alarms", json={"areas": areas})
    assert same.json()["said"] == "All alarms would be raised as before: the same is watched."


def test_areas_that_leave_nothing_are_refused_in_words(browser: TestClient, out: Path) -> None:
    wanted = {"areas": {**NONE, "ignore": [ALL]}, "hash": values_of(browser)["hash"]}
    before = (out.parent / "cameras.yaml").read_text()
    for address in ("/cameras/gate/areas/alarms", "/cameras/gate/areas"):
        answer = browser.post(address, json=wanted)
        assert answer.status_code == 422
        assert "leave no pixel" in answer.json()["error"]
    assert (out.parent / "cameras.yaml").read_text() == before


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {"watch": []},
        {**NONE, "watch": "x"},
        {**NONE, "watch": [[[0, 0], [1, 0]]]},
        {**NONE, "watch": [[[0, 0], [1, 0], [2, 1]]]},
        {**NONE, "watch": [[[0, 0], [1, 0], [True, 1]]]},
        {**NONE, "watch": [[[0, 0], [1, 0], ["1", 1]]]},
        {**NONE, "watch": [SQUARE] * 101},
        {**NONE, "watch": [SQUARE * 100]},
        {**NONE, "more": []},
    ],
)
def test_what_is_no_area_is_refused(browser: TestClient, wrong: object) -> None:
    for address in ("/cameras/gate/areas/alarms", "/cameras/gate/areas"):
        assert browser.post(address, json={"areas": wrong, "hash": "x"}).status_code == 422


def test_viewers_and_those_of_other_cameras_do_not_draw(out: Path) -> None:
    for user, status in ((User("eve", Role.VIEWER), 403), (User("bob", Role.OPERATOR, frozenset({"yard"})), 404)):
        with Browser(out).of(user) as browser:
            assert browser.get("/cameras/gate/areas").status_code == status
            for address in ("", "/alarms", "/undo"):
                answer = browser.post(f"/cameras/gate/areas{address}", json={"areas": NONE, "hash": "x"})
                assert answer.status_code == status
