"""The page of thresholds: what it is told, who may apply what, and what it answers to nonsense."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from msflow_stream.scenes.tails import pareto
from msflow_stream.watch.replay.dial import RATES
from msflow_stream.web.access.roles import Role, User
from tests.support.console import seeded
from tests.support.watching import until
from tests.web.test_event_pages import Browser

VIEWER = User("vera", Role.VIEWER)
OPERATOR = User("otto", Role.OPERATOR)
STRANGER = User("sam", Role.OPERATOR, frozenset({"yard"}))
PAGE, DIAL = "/cameras/gate/thresholds", "/cameras/gate/dial"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    one = Browser(seeded(tmp_path_factory.mktemp("dial"), cameras=2, events=8, hours=1, evidence=False, labelled=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "fit_p_value", lambda *_: 0.5)  # takes most of a calibration
        yield one
    one.console.store.close()


def span() -> dict[str, Any]:
    now = int(time.time())
    return {"scene": "gate", "since": now - 7200, "until": now + 60}


def turned(asked: TestClient) -> dict[str, Any]:
    query = span()

    def answer() -> dict[str, Any]:
        found: dict[str, Any] = asked.get(DIAL, params=query).json()
        return found if "positions" in found else {}

    return until(answer, "the dial is never there")


def scene_of(browser: Browser) -> Path:
    return browser.console.scenes / "gate" / "scene.json"


def test_the_dial_has_alarms_with_thumbnails_and_what_people_said(browser: Browser) -> None:
    found = turned(browser.of(VIEWER))
    assert [one["rate"] for one in found["positions"]] == pytest.approx(RATES)
    today, oftenest = found["today"], found["positions"][-1]
    judged = sum(total for _, total in today["labels"].values())
    assert judged == len([one for one in browser.events() if one.event.source == "gate"])
    assert len(oftenest["alarms"]) > len(today["alarms"]) > 0
    assert any(one["new"] for one in oftenest["alarms"])
    assert all(one["label"] for one in today["alarms"] if one["id"] is not None)
    bursts = [one["burst"] for one in today["alarms"]]
    image = browser.of(VIEWER).get(f"/cameras/gate/bursts/{bursts[0]}")
    assert (image.headers["content-type"], image.content[:2]) == ("image/jpeg", b"\xff\xd8")
    rarest = found["positions"][0]
    assert not rarest["supported"]
    assert "more is needed" in rarest["support"]


def test_who_may_only_look_sees_no_button_and_may_not_apply(browser: Browser) -> None:
    before = scene_of(browser).read_text()
    assert 'id="apply"' not in browser.of(VIEWER).get(PAGE).text
    assert 'id="apply"' in browser.of(OPERATOR).get(PAGE).text
    for path in (PAGE, f"{PAGE}/undo"):
        assert browser.of(VIEWER).post(path, json={"scene": "gate", "rate": RATES[3]}).status_code == 403
        assert browser.of(STRANGER).post(path, json={"scene": "gate", "rate": RATES[3]}).status_code == 404
    assert (
        browser.of(STRANGER).get(PAGE).status_code
        == browser.of(STRANGER).get("/cameras/gate/bursts/1").status_code
        == 404
    )
    assert scene_of(browser).read_text() == before


def test_a_scene_that_other_cameras_share_is_changed_by_who_sees_them_all(browser: Browser) -> None:
    file = browser.console.cameras_file
    assert file is not None
    text, before = file.read_text(), scene_of(browser).read_bytes()
    try:
        file.write_text(text.replace('scene: "gate"', 'scene: "yard"'))
        answer = browser.of(STRANGER).post("/cameras/yard/thresholds", json={"scene": "yard", "rate": 1.0})
        assert answer.status_code == 403
        assert "other cameras" in answer.json()["error"]
    finally:
        file.write_text(text)
    assert scene_of(browser).read_bytes() == before


def test_a_position_is_applied_noted_and_undone(browser: Browser) -> None:
    before, asked = json.loads(scene_of(browser).read_text()), browser.of(OPERATOR)
    done = asked.post(PAGE, json={"scene": "gate", "rate": RATES[-3]}).json()
    assert (done["applied"]["by"], done["watch"][:26]) == ("otto", "the watch does not run; it")
    assert json.loads(scene_of(browser).read_text())["calibration"]["basis"]["asked"] == RATES[-3]
    assert asked.post(f"{PAGE}/undo", json={"scene": "gate"}).json()["applied"] is None
    assert json.loads(scene_of(browser).read_text())["calibration"] == before["calibration"]
    assert asked.post(f"{PAGE}/undo", json={"scene": "gate"}).status_code == 422
    lines = [(one.by, one.action, one.target) for one in browser.console.accounts.audit_lines(2)]
    assert lines == [("otto", "thresholds undone", "gate"), ("otto", "thresholds", "gate")]


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"scene": "gate", "rate": 0.123}, 400),
        ({"scene": "gate", "rate": None}, 400),
        ({"scene": "gate", "rate": "nan"}, 400),
        ({"scene": "../gate", "rate": RATES[0]}, 404),
        ({"scene": "yard", "rate": RATES[0]}, 404),
        ({"scene": ["gate"], "rate": RATES[0]}, 404),
        ({}, 404),
    ],
)
def test_nonsense_is_not_applied(browser: Browser, values: dict[str, Any], status: int) -> None:
    before = scene_of(browser).read_text()
    assert browser.of(OPERATOR).post(PAGE, json=values).status_code == status
    assert scene_of(browser).read_text() == before


@pytest.mark.parametrize(
    "changes",
    [{"since": "x"}, {"since": "nan"}, {"until": 1e300}, {"since": 0}, {"until": 5}, {"scene": "../../gate"}],
)
def test_nonsense_is_not_computed(browser: Browser, changes: dict[str, Any]) -> None:
    assert browser.of(VIEWER).get(DIAL, params={**span(), **changes}).status_code in (400, 404)


def test_a_camera_without_anything_says_so(browser: Browser) -> None:
    (browser.out / "gate" / "activity.db").rename(browser.out / "aside.db")
    try:
        asked = browser.of(VIEWER)
        query = {**span(), "since": time.time() - 9000}
        found = until(lambda: "positions" in (got := asked.get(DIAL, params=query).json()) and got, "it is never there")
    finally:
        (browser.out / "aside.db").rename(browser.out / "gate" / "activity.db")
    assert found["today"]["alarms"] == []
    assert "Nothing was recorded that could be replayed" in found["said"][0]
