from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.pages.people import LINES, browser_name
from tests.web.access.asking import Browser, quick_console
from tests.web.access.people import BROWSER, PASSWORD

ANN: dict[str, Any] = {"name": "ann", "password": PASSWORD, "role": "operator", "cameras": ["gate"]}


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "scores.csv").touch()
    console = quick_console(tmp_path)
    with console.store:
        yield console


@pytest.fixture
def root(console: Console) -> Browser:
    """The browser of an admin."""
    console.accounts.add("root", PASSWORD, Role.ADMIN, None, "test")
    browser = Browser(console)
    browser.sign_in("root")
    return browser


def test_the_first_user_is_an_admin_and_everybody_signs_in_from_then_on(console: Console) -> None:
    browser = Browser(console)
    assert "Access is off" in browser.get("/people").text
    refused = browser.post("/people/users", json=ANN)
    assert (refused.status_code, "has to be an admin" in refused.json()["error"]) == (422, True)
    added = browser.post("/people/users", json={**ANN, "role": "admin", "cameras": None})
    assert (added.status_code, added.json()) == (201, {"name": "ann"})
    assert browser.get("/people").status_code == 303
    browser.sign_in("ann")
    text = browser.get("/people").text
    assert "Access is off" not in text
    assert "this one" in text
    assert console.accounts.audit_lines(9)[-1].by == "local"


def test_users_are_added_changed_and_removed(console: Console, root: Browser) -> None:
    assert root.post("/people/users", json=ANN).status_code == 201
    ann = Browser(console)
    assert ann.sign_in("ann") == 303
    assert root.put("/people/users/ann", json={"cameras": []}).status_code == 200
    assert ann.get("/").status_code == 200
    assert root.put("/people/users/ann", json={"role": "viewer", "cameras": None}).status_code == 200
    assert ann.get("/").status_code == 303, "a new role is for a new session"
    assert root.put("/people/users/ann", json={"password": "another horse"}).status_code == 200
    assert ann.sign_in("ann") == 403
    assert ann.sign_in("ann", "another horse") == 303
    assert root.delete("/people/users/ann/sessions").json() == {"ended": 1}
    assert ann.get("/").status_code == 303
    assert root.delete("/people/users/ann").status_code == 200
    assert ann.sign_in("ann", "another horse") == 403
    actions = [line.action for line in console.accounts.audit_lines(99, by="root")]
    later = ["user removed", "signed out everywhere", "password", "role", "cameras"]
    assert actions == [*later, "cameras", "user added", "signed in"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/people/users", {**ANN, "role": "king"}, 422),
        ("POST", "/people/users", {**ANN, "role": None}, 422),
        ("POST", "/people/users", {**ANN, "cameras": "gate"}, 422),
        ("POST", "/people/users", {**ANN, "cameras": [1]}, 422),
        ("POST", "/people/users", {**ANN, "name": 5}, 422),
        ("POST", "/people/users", {**ANN, "name": "<b>"}, 422),
        ("POST", "/people/users", {**ANN, "name": "root"}, 422),
        ("POST", "/people/users", {**ANN, "password": "short"}, 422),
        ("POST", "/people/users", [ANN], 400),
        ("PUT", "/people/users/nobody", {"role": "viewer"}, 422),
        ("PUT", "/people/users/root", {"role": "viewer"}, 422),
        ("DELETE", "/people/users/root", {}, 422),
        ("DELETE", "/people/users/..%2f..%2fetc", {}, 404),
        ("DELETE", "/people/sessions/%25%25%25%25%25%25%25%25%25%25%25%25%25%25%25%25", {}, 404),
        ("DELETE", "/people/sessions/0", {}, 404),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    console: Console, root: Browser, method: str, path: str, body: Any, status: int
) -> None:
    answer = root.request(method, path, json=body, headers={"Accept": "*/*"})
    assert answer.status_code == status
    assert PASSWORD not in answer.text
    assert [one.name for one in console.accounts.all()] == ["root"]
    assert root.get("/people").status_code == 200


def test_one_session_is_ended_by_its_name_which_is_no_key_to_it(console: Console, root: Browser) -> None:
    console.accounts.add("ann", PASSWORD, Role.VIEWER, None, "root")
    ann, phone = Browser(console), Browser(console)
    ann.sign_in("ann")
    (id,) = (one.id for one in console.accounts.sessions.all() if one.user == "ann")
    phone.sign_in("ann")
    assert root.delete(f"/people/sessions/{id}").json() == {"user": "ann"}
    assert (ann.get("/").status_code, phone.get("/").status_code) == (303, 200)
    assert root.delete(f"/people/sessions/{id}").status_code == 404


def test_the_log_is_shown_in_pages_and_for_one_person(console: Console, root: Browser) -> None:
    for number in range(LINES + 5):
        console.accounts.audit(
            "ann", "label", f"event-{number:03}", {"note": "<script>", "kept": True, "ids": ["a"] * 9}
        )
    console.accounts.audit("bob", "keep", "event-of-bob")
    first = root.get("/people?by=ann").text
    assert "event-054" in first
    assert "event-of-bob" not in first
    assert "event-004" not in first
    assert "note: &lt;script&gt;, kept: yes, ids: a, a, a, a, a and 4 more" in first
    older = first.partition('href="/people?before=')[2].partition('"')[0].replace("&amp;", "&")
    second = root.get(f"/people?before={older}").text
    assert "event-004" in second
    assert "event-005" not in second
    for strange in ("before=x", "before=-1", "before=" + "9" * 30, "by=%00", "by=" + "x" * 999):
        assert root.get(f"/people?{strange}").status_code == 200


def test_browsers_are_called_by_their_names() -> None:
    assert browser_name(BROWSER) == "Mozilla/5.0 (X11; Linux x86_64)"
    phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"
    assert browser_name(phone) == "Safari on iPhone"
    assert browser_name("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0") == "Edge on Windows"
    assert browser_name("") == "unknown"
