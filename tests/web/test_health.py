"""The page about health, with a watch and without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from msflow_stream.web.access.roles import LOCAL, Role, User
from msflow_stream.web.console.app import make_app
from msflow_stream.web.console.health_view import ago, camera_health, log_lines, readable
from msflow_stream.web.watch_values import camera_values
from tests.support.console import console_of, seeded
from tests.support.seeded_watch import SeededWatch
from tests.web.reports import NOW, running


def client(out: Path, user: User = LOCAL) -> TestClient:
    """A browser of this person, who is known without a gate."""

    def known(app: ASGIApp, **_: object) -> ASGIApp:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["user"] = user
            await app(scope, receive, send)

        return serve

    return TestClient(make_app(console_of(out), known), base_url="http://127.0.0.1")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeded(tmp_path_factory.mktemp("health"), events=3, hours=0.1, evidence=False)


@pytest.fixture
def watch(out: Path) -> Iterator[SeededWatch]:
    with SeededWatch(out) as one:
        yield one


def test_without_a_watch_it_says_so_and_what_is_known(out: Path) -> None:
    with client(out) as browser:
        page = browser.get("/health").text
        assert "The watch is not running" in page
        assert page.count("not watched") == 3
        assert "Last score" in page
        assert browser.post("/api/alerts/room/test", json={}).status_code == 503


def test_it_shows_what_is_wrong_and_what_is_well(out: Path, watch: SeededWatch) -> None:
    with client(out) as browser:
        page = browser.get("/health").text
    assert "2 of 3 cameras are running" in page
    assert "no answer; the next attempt is in 8 s" in page
    assert "7 (newer frame)" in page
    assert "2 (recorder: disk)" in page
    assert "3 dead letters" in page
    assert "1920 × 1080, 25 frames/s, H.264" in page
    assert "s3cret" not in page


def test_an_alert_is_tried_and_its_dead_letters_are_sent_again(out: Path, watch: SeededWatch) -> None:
    with client(out) as browser:
        assert browser.post("/api/alerts/lines/test", json={}).json() == {"said": "a line was written"}
        failed = browser.post("/api/alerts/room/test", json={})
        assert (failed.status_code, failed.json()) == (502, {"error": "503 Service Unavailable"})
        assert browser.post("/api/alerts/room/retry", json={}).json() == {"queued": 3}
        assert "dead letter" not in browser.get("/health").text
        assert browser.post("/api/alerts/nobody/test", json={}).status_code == 404
    assert watch.asked == ["test lines", "test room", "retry room"]
    with client(out) as browser:
        lines = [(one.action, one.target) for one in console_of(out).accounts.audit_lines(9)]
    assert {("test alert", "lines"), ("test alert", "room"), ("retry alert", "room")} <= set(lines)


def test_people_see_what_is_theirs(out: Path, watch: SeededWatch) -> None:
    with client(out, User("ann", Role.VIEWER, frozenset({"yard"}))) as browser:
        page = browser.get("/health").text
        assert 'id="camera-yard"' in page
        assert "camera-gate" not in page
        assert "hall" not in page  # which its log and its alerts speak of
        assert browser.post("/api/alerts/room/test", json={}).status_code == 403
    with client(out, User("bob", Role.OPERATOR)) as browser:
        page = browser.get("/health").text
        assert "Log of the last hour" in page
        assert "Send again" not in page


def test_the_log_is_filtered_by_level_and_text(out: Path, watch: SeededWatch) -> None:
    with client(out) as browser:
        page = browser.get("/health", params={"level": "WARNING", "text": "NO ANSWER"}).text
    assert "15 lines" in page
    assert "is read again" not in page


def test_only_the_newest_lines_are_shown() -> None:
    lines = [{"time": "", "level": "INFO", "logger": "a", "text": str(number)} for number in range(500)]
    shown, found = log_lines(lines, "INFO", "")
    assert (len(shown), found, shown[0]["text"]) == (200, 500, "499")


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (9_400, "9.4 KB"), (432e6, "432 MB"), (2.7e14, "270.0 TB")])
def test_sizes_are_readable(size: float, text: str) -> None:
    assert readable(size) == text


def test_what_is_no_moment_was_never() -> None:
    from datetime import UTC, datetime

    assert ago("nonsense", datetime.now(UTC)) == ago(None, datetime.now(UTC)) == "never"


def test_a_camera_of_several_nodes_says_its_own() -> None:
    camera = camera_values(running("gate"))
    assert camera_health(camera | {"node": "north-1a2b3c4d"}, NOW).facts[-1] == (
        "Watched by node",
        "north-1a2b3c4d",
        "",
    )
    assert "Watched by node" not in [name for name, *_ in camera_health(camera, NOW).facts]
