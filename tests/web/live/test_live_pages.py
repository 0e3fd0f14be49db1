from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from msflow_stream.web.access import gate
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.live import socket
from msflow_stream.web.live.live import MOST_OF_ONE
from tests.support.fake_watch import FakeWatch
from tests.support.seeding import seeded
from tests.web.access.asking import SITE, Browser, quick_console
from tests.web.access.people import PASSWORD

LIVE = SITE.replace("http", "ws") + "/live"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeded(tmp_path_factory.mktemp("live"), cameras=3, events=6, hours=1.0, evidence=False)


@pytest.fixture(scope="module")
def console(folder: Path) -> Iterator[Console]:
    """With an admin, an operator, and a viewer of one camera."""
    made = quick_console(folder)
    with made.store:
        made.accounts.add("ann", PASSWORD, Role.ADMIN, None, "test")
        made.accounts.add("olga", PASSWORD, Role.OPERATOR, None, "test")
        made.accounts.add("vic", PASSWORD, Role.VIEWER, {"gate"}, "test")
        yield made


@pytest.fixture
def watch(console: Console) -> FakeWatch:
    fake = FakeWatch(["gate", "yard", "hall"])
    console.watch = fake
    vars(console).pop("live", None)
    return fake


def test_one_person_does_not_take_the_room_of_all(console: Console, watch: FakeWatch) -> None:
    with ExitStack() as stack:
        rooms = [stack.enter_context(console.live.viewer("vic")) for _ in range(MOST_OF_ONE + 1)]
        assert rooms == [True] * MOST_OF_ONE + [False]
        assert stack.enter_context(console.live.viewer("olga"))


@pytest.fixture
def operator(console: Console, watch: FakeWatch) -> Iterator[Browser]:
    with Browser(console) as browser:
        browser.sign_in("olga")
        yield browser


@pytest.fixture
def viewer(console: Console, watch: FakeWatch) -> Iterator[Browser]:
    with Browser(console) as browser:
        browser.sign_in("vic")
        yield browser


def test_the_wall_has_a_tile_for_each_camera_and_its_last_event(operator: Browser) -> None:
    page = operator.get("/").text
    assert [page.count(f'<article class="tile" data-camera="{name}">') for name in ("gate", "yard", "hall")] == [
        1,
        1,
        1,
    ]
    assert page.count("Last event") == 3
    assert "s3cret" not in page


def test_the_wall_of_a_person_has_only_their_cameras(viewer: Browser) -> None:
    page = viewer.get("/").text
    assert 'data-camera="gate"' in page
    assert 'data-camera="yard"' not in page
    assert '"name": "yard"' not in page


def test_without_a_watch_the_wall_says_how_to_start_one(operator: Browser, watch: FakeWatch, console: Console) -> None:
    watch.away = True
    page = operator.get("/").text
    assert f"msflow-stream watch {console.cameras_file} --scenes {console.scenes} --out {console.out}" in page
    assert '<div class="notice" id="away">' in page
    assert operator.get("/status").json()["watch"] == "away"
    assert operator.get("/cameras/gate/frame.jpg").status_code == 503


def test_states_are_told_of_the_cameras_that_a_person_may_see(viewer: Browser, operator: Browser) -> None:
    assert [one["name"] for one in operator.get("/status").json()["cameras"]] == ["gate", "yard", "hall"]
    told = viewer.get("/status").json()
    assert told["watch"] == "running"
    assert [(one["name"], one["state"]) for one in told["cameras"]] == [("gate", "running")]


def test_a_frame_comes_with_its_facts_and_the_next_one_once_it_is_newer(operator: Browser, watch: FakeWatch) -> None:
    watch.stalled["yard"] = 7
    answer = operator.get("/cameras/yard/frame.jpg?width=300")
    assert (answer.headers["content-type"], answer.content[:2]) == ("image/jpeg", b"\xff\xd8")
    assert answer.headers["cache-control"] == "no-store"
    facts = json.loads(answer.headers["x-frame"])
    assert (facts["sequence"], facts["threshold_level"]) == (7, 0.5)
    assert operator.get("/cameras/yard/frame.jpg?width=300&after=7&wait=1").status_code == 204
    assert operator.get("/cameras/yard/plain.jpg").status_code == 200
    assert watch.asked["yard", 320] == 2


@pytest.mark.parametrize("address", ["yard/frame.jpg", "yard/plain.jpg", "yard/history", "yard", "nobody/frame.jpg"])
def test_another_persons_cameras_are_not_there(viewer: Browser, address: str) -> None:
    assert viewer.get(f"/cameras/{address}").status_code == 404


@pytest.mark.parametrize(
    "address",
    [
        *(
            "frame.jpg?width=wide",
            "frame.jpg?after=1.5",
            "history?since=now",
            "history?points=1",
            "history?points=99999",
        ),
        *("history?since=0", "history?since=nan", "history?since=1e300", "history?since=20&until=10"),
    ],
)
def test_questions_that_make_no_sense_are_refused(operator: Browser, address: str) -> None:
    assert operator.get(f"/cameras/gate/{address}").status_code == 400


def test_the_history_has_gaps_where_no_scores_are_and_the_events(operator: Browser, folder: Path) -> None:
    rows = (folder / "gate" / "scores.csv").read_text().count("\n") - 1
    found = operator.get("/cameras/gate/history?points=8000").json()
    values = [value for value in found["score"] if value is not None]
    assert 0.9 * rows < len(values) or len(values) > 3000
    assert all(value is None for time, value in zip(found["t"], found["score"], strict=True) if in_gap(time, found))
    assert min(values) > 0
    assert {event["severity"] for event in found["events"]} <= {"low", "medium", "high"}


def in_gap(time: float, found: dict[str, Any]) -> bool:
    return any(start < time < end for start, end in found["gaps"])


def test_what_is_configured_is_shown_without_credentials_and_addresses_only_to_who_may_change_them(
    operator: Browser, viewer: Browser
) -> None:
    page = operator.get("/cameras/gate").text
    assert "rtsp://***@192.0.2.10:554/stream1" in page
    assert "one frame in 5" in page
    assert "tf_efficientnet_lite0" in page
    assert "s3cret" not in page
    assert "192.0.2.10" not in viewer.get("/cameras/gate").text


def test_the_socket_shows_a_person_their_cameras_only(viewer: Browser) -> None:
    with viewer.websocket_connect(LIVE) as connection:
        connection.send_json({"watch": {"gate": 480, "yard": 480, "hall": 160}})
        names = set()
        for _ in range(4):
            message = connection.receive()
            if message.get("bytes"):
                (length,) = struct.unpack(">I", message["bytes"][:4])
                names.add(json.loads(message["bytes"][4 : 4 + length])["camera"])
            else:
                names |= {one["name"] for one in json.loads(message["text"])["cameras"]}
                connection.send_json({"ack": "*"})
            connection.send_json({"ack": "gate"})
        assert names == {"gate"}
        connection.close()
        time.sleep(0.3)  # it ends by itself; what is left of it would be cancelled


def test_a_session_that_is_revoked_ends_the_socket_even_of_who_shows_nothing(
    viewer: Browser, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LOOK_AGAIN", 0.05)
    monkeypatch.setattr(socket, "CHECKED", 0.1)
    with viewer.websocket_connect(LIVE) as connection:
        assert connection.receive_json() == {}
        console.accounts.sign_out("vic", "test")
        code = None
        while code is None:
            code = connection.receive().get("code")
        assert code == 1008


def test_the_socket_is_closed_to_who_is_not_signed_in(console: Console, watch: FakeWatch) -> None:
    with Browser(console) as stranger, pytest.raises(WebSocketDisconnect), stranger.websocket_connect(LIVE):
        pass
    for address in ("/status", "/cameras/gate/frame.jpg", "/cameras/gate/history"):
        assert stranger.get(address).status_code == 401


def test_a_cameras_file_that_somebody_is_editing_hides_no_camera(operator: Browser, console: Console) -> None:
    assert console.cameras_file is not None
    text = console.cameras_file.read_text()
    operator.get("/")
    console.cameras_file.write_text(text + "  half: a line {\n")
    try:
        assert operator.get("/cameras/yard/frame.jpg").status_code == 200
        assert 'data-camera="yard"' in operator.get("/").text
        assert operator.get("/cameras/yard").status_code == 200
    finally:
        console.cameras_file.write_text(text)


def test_paths_of_the_machine_are_no_matter_of_viewers(viewer: Browser, watch: FakeWatch, console: Console) -> None:
    watch.away = True
    for address in ("/", "/cameras/gate"):
        page = viewer.get(address).text
        assert "The watch is not running" in page
        assert str(console.out) not in page
