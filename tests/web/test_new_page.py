"""The pages of a new camera and of its learning: what is tried, written, told and taken back."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from msflow_stream.config.cameras_file import load_file
from msflow_stream.teaching.layout import learn_folder
from msflow_stream.teaching.learning import LearningRecord
from msflow_stream.teaching.progress import Progress
from msflow_stream.types import UserError
from msflow_stream.video.drawing.jpeg import from_jpeg
from msflow_stream.video.packets.footage import Footage
from msflow_stream.watch.trial import Obstacle, Shown
from msflow_stream.web.access.roles import Role, User
from msflow_stream.web.console.tries import FREE, TooManyTries, Tries
from tests.support.console import seeded
from tests.support.seeded_watch import SeededWatch
from tests.support.watching import until
from tests.web.test_event_pages import Browser

SQUARE = [[0.1, 0.2], [0.3, 0.2], [0.3, 0.4]]
TYPED = {"address": "rtsp://192.0.2.77:554/hidden-path", "user": "ann", "password": "s3cret-word", "transport": "tcp"}
PORCH = {**TYPED, "name": "porch", "learn": "20m", "false_alarms_per_hour": 0.04, "areas": {"ignore": [SQUARE]}}


class Place:
    """A seeded folder, and a browser of its console."""

    def __init__(self, out: Path) -> None:
        self.out, self.file, self.scenes = out, out.parent / "cameras.yaml", out.parent / "scenes"
        self.people = Browser(out)

    def audited(self) -> str:
        return repr(self.people.console.accounts.audit_lines(100, None, None))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    one = Place(seeded(tmp_path_factory.mktemp("new"), cameras=2, events=2, hours=0.1, evidence=False))
    yield one
    one.people.console.store.close()


@pytest.fixture
def browser(place: Place) -> Iterator[TestClient]:
    """A browser of somebody who sees all; in the end the cameras file is as it was."""
    before = place.file.read_bytes()
    place.people.console.tries = Tries()
    with place.people.of() as one:
        yield one
    place.file.write_bytes(before)


def found(result: object, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Has every trial find this; returns the addresses that were tried."""
    tried: list[str] = []

    def try_camera(url: str, _: str) -> object:
        tried.append(url)
        return result

    monkeypatch.setattr("msflow_stream.web.console.pages.new.try_camera", try_camera)
    return tried


def test_the_first_frame_is_shown_and_what_stands_in_the_way_is_told(
    browser: TestClient, place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image = np.full((720, 2560, 3), 120, np.uint8)
    tried = found(Shown(image=image, codec="h264", rate=25.0, seconds=0.4), monkeypatch)
    answer = browser.post("/new/try", json=TYPED)
    assert tried == ["rtsp://ann:s3cret-word@192.0.2.77:554/hidden-path"]
    assert from_jpeg(b64decode(answer.json().pop("frame"))).shape == (360, 1280, 3)
    assert answer.json()["width"] == 2560
    obstacle = Obstacle(kind="credentials", text="No.", advice="Look.", field="user")
    found(obstacle, monkeypatch)
    assert browser.post("/new/try", json=TYPED).json()["obstacle"]["field"] == "user"
    said = place.audited() + caplog.text + browser.get("/people").text
    assert "credentials" in said
    assert not [one for one in ("192.0.2.77", "hidden-path", "s3cret") if one in said]


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "/etc/passwd", "0", "udp://0.0.0.0:1", "rtsp://a:b@192.0.2.1/"]
)
def test_nothing_but_cameras_in_the_network_is_tried_or_added(
    address: str, browser: TestClient, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, before = found(None, monkeypatch), place.file.read_bytes()
    assert browser.post("/new/try", json={**TYPED, "address": address}).json()["obstacle"]["kind"] == "address"
    assert browser.post("/new", json={**PORCH, "address": address}).status_code == 422
    assert tried == []
    assert place.file.read_bytes() == before


def test_a_network_is_not_looked_through_by_trying() -> None:
    now = [0.0]
    tries = Tries(lambda: now[0])
    for _ in range(FREE):
        with tries.begin("ann"):
            pass
    with pytest.raises(TooManyTries, match="10 s"), tries.begin("ann"):
        pass
    with tries.begin("bob"), tries.begin("eve"):
        for person in ("bob", "joe"):
            with pytest.raises(TooManyTries), tries.begin(person):
                pass
    now[0] = 10.0
    with tries.begin("ann"):
        pass
    with pytest.raises(TooManyTries), tries.begin("ann"):
        pass


def test_a_camera_is_added_once_and_the_watch_takes_it_up(browser: TestClient, place: Place) -> None:
    with SeededWatch(place.out) as watch:
        answer = browser.post("/new", json=PORCH)
        assert answer.status_code == 201, answer.text
        assert watch.asked == ["reload"]
        again = browser.post("/new", json=PORCH)  # the first answer got lost
        assert again.status_code == 201
    porch = load_file(place.file).cameras["porch"]
    assert porch.url.get_secret_value() == "rtsp://ann:s3cret-word@192.0.2.77:554/hidden-path"
    assert porch.learn is not None
    assert (porch.learn.learn, porch.learn.false_alarms_per_hour) == (1200.0, 0.04)
    assert porch.ignore == ((tuple(SQUARE[0]), tuple(SQUARE[1]), tuple(SQUARE[2])),)
    shown = browser.get("/cameras/porch/learning").text + browser.get("/cameras/porch").text + place.audited()
    assert "s3cret-word" not in shown
    other = browser.post("/new", json={**PORCH, "address": "rtsp://192.0.2.78/x"})
    assert other.status_code == 422
    assert "choose another name" in other.json()["error"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "../porch"},
        {"name": ".porch"},
        {"name": "a b"},
        {"name": "GATE"},
        {"name": "taken"},
        {"learn": "soon"},
        {"learn": "1s"},
        {"learn": None},
        {"false_alarms_per_hour": 0},
        {"false_alarms_per_hour": "x"},
        {"transport": "file"},
        {"areas": {"watch": [[[0, 0], [1, 1]]]}},
        {"areas": {"other": []}},
        {"areas": {"ignore": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}},
        {"settings": ["model.weights=weights.safetensors"]},
        {"settings": ["model.weights=/etc/passwd"]},
        {"settings": ["fit.passes=no"]},
        {"password": "x" * 300},
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_written(
    wrong: dict[str, Any], browser: TestClient, place: Place
) -> None:
    (place.scenes / "taken").mkdir(exist_ok=True)
    before = place.file.read_bytes()
    answer = browser.post("/new", json={**PORCH, **wrong})
    assert answer.status_code == 422, answer.text
    assert "s3cret-word" not in answer.text
    assert place.file.read_bytes() == before


def test_what_the_watch_refuses_is_taken_back(
    browser: TestClient, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reload() -> None:
        raise UserError("no room")

    before = place.file.read_bytes()
    monkeypatch.setattr(place.people.console.watch, "reload", reload)
    answer = browser.post("/new", json=PORCH)
    assert answer.status_code == 422
    assert "no room" in answer.json()["error"]
    assert place.file.read_bytes() == before


def test_the_learning_is_told_from_its_files_and_the_watch_and_can_be_begun_anew(
    browser: TestClient, place: Place
) -> None:
    def told() -> dict[str, Any]:
        return dict(browser.get("/cameras/porch/learning.json").json())

    before = place.file.read_text()
    assert browser.post("/new", json=PORCH).status_code == 201
    folder = learn_folder(place.scenes / "porch")
    assert (told()["phase"], told()["done"], told()["of"], told()["can_go_back"]) == ("learning", 0.0, 1200.0, True)
    footage = Footage("porch")
    footage.coverage.seconds = 60.0
    (folder / "footage").mkdir(parents=True)
    footage.write(folder / "footage")
    assert any("dark" in one for one in told()["coverage"]["missing"])
    camera = load_file(place.file).cameras["porch"]
    LearningRecord.of("porch", camera, "fitting").write(place.scenes / "porch")
    Progress(stage="fitting", done=2, of=8, text="pass 2 of 8").write(folder)
    assert (told()["phase"], told()["at"], told()["done"], told()["of"]) == ("fitting", "fitting", 2, 8)
    Progress(stage="paused", done=2, of=8).write(folder)
    assert (told()["phase"], told()["progress"]["stage"]) == ("fitting", "paused")
    LearningRecord.of("porch", camera).moved("failed", "the disk is full").write(place.scenes / "porch")
    assert (told()["phase"], told()["at"], told()["reason"]) == ("failed", "fitting", "the disk is full")
    page = browser.get("/cameras/porch/learning")
    assert page.status_code == 200
    with SeededWatch(place.out) as watch:
        watch.phases["porch"] = {"phase": "calibrating", "phase_done": 30.0, "phase_of": 400.0, "reason": "runs"}
        until(lambda: told()["watch"] == "running", "the watch is not seen")
        now = told()
        assert (now["phase"], now["done"], now["of"]) == ("calibrating", 30.0, 400.0)
        assert browser.request("DELETE", "/cameras/porch/learning").status_code == 200
    assert place.file.read_text() == before
    assert not folder.exists()
    assert browser.get("/cameras/porch/learning").status_code == 404


def test_a_scene_that_is_there_is_not_taken_away(browser: TestClient, place: Place) -> None:
    before = place.file.read_bytes()
    values = browser.get("/cameras/gate/learning.json").json()
    assert (values["phase"], values["can_go_back"]) == ("watching", False)
    assert "normal footage supports" in values["support"]
    assert browser.request("DELETE", "/cameras/gate/learning").status_code == 409
    assert place.file.read_bytes() == before


def test_who_sees_some_cameras_adds_none(place: Place) -> None:
    for user in (User("bob", Role.ADMIN, frozenset({"gate"})), User("eve", Role.OPERATOR)):
        with place.people.of(user) as browser:
            assert browser.get("/new").status_code == 403
            assert browser.post("/new", json=PORCH).status_code == 403
            assert browser.post("/new/try", json=TYPED).status_code == 403
            assert json.dumps("porch") not in place.file.read_text()
