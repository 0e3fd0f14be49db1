from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.websockets import WebSocketDisconnect

from msflow_stream.web.access.cookie import cookie_name
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from tests.support.seeding import seeded
from tests.web.access.asking import ELSEWHERE, SITE, Browser, quick_console
from tests.web.access.people import PASSWORD, Clock

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeded(tmp_path_factory.mktemp("gate"), cameras=1, events=2, hours=0.1, evidence=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def console(folder: Path, clock: Clock) -> Iterator[Console]:
    """A console without users."""
    made = quick_console(folder, clock)
    with made.store:
        for one in sorted(made.accounts.all(), key=lambda one: one.role == Role.ADMIN):
            made.accounts.remove(one.name, "test", even_last=True)
        yield made


@pytest.fixture
def ann(console: Console) -> Console:
    """The console with an admin."""
    console.accounts.add("ann", PASSWORD, Role.ADMIN, None, "test")
    return console


@pytest.mark.parametrize("site", ["http://localhost:9841", "http://127.0.0.1", "http://127.9.9.9:1", "http://[::1]:80"])
def test_without_users_whoever_sits_at_the_machine_may_do_everything(console: Console, site: str) -> None:
    browser = Browser(console, site)
    assert browser.get("/").status_code == 200
    assert browser.post("/decisions", json={}).status_code == 422, "of the handler: nothing is given"


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"Host": "evil.example:9841"}, HERE),  # DNS rebinding
        ({"Host": "127.0.0.1.evil.example"}, HERE),
        ({"Host": "localhost@evil.example"}, HERE),
        ({"Host": "evil.example/localhost"}, HERE),
        ({"Host": "[::1"}, HERE),
        ({"Host": ""}, HERE),
        ({"Host": "localhost"}, "192.0.2.8"),
        ({"X-Forwarded-For": "192.0.2.8"}, HERE),
        ({"X-Forwarded-Host": "localhost"}, HERE),
        ({"Forwarded": "for=192.0.2.8"}, HERE),
        ({"X-Ingress-Path": "/api"}, HERE),
    ],
)
def test_without_users_nobody_else_may_do_anything(console: Console, headers: dict[str, str], address: str) -> None:
    browser = Browser(console, address=address)
    for path in ("/", "/sign-in", "/events"):
        answer = browser.get(path, headers=headers)
        assert answer.status_code == 403
        assert "msflow-stream console user add NAME" in answer.text


def test_once_there_is_a_user_everybody_signs_in_on_this_machine_too(ann: Console) -> None:
    browser = Browser(ann)
    answer = browser.get("/events?label=none")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fevents%3Flabel%3Dnone")
    assert browser.get("/status", headers={"Accept": "*/*"}).status_code in (401, 404)
    assert browser.sign_in("Ann", next="/events?label=none") == 303
    assert browser.get("/events").status_code == 200
    elsewhere = Browser(ann, ELSEWHERE, "192.0.2.8")
    answer = elsewhere.post("/sign-in", data={"name": "ann", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert elsewhere.get("/").status_code == 200
    assert browser.get("/sign-in?next=/events").headers["location"] == "/events"


def test_the_cookie_is_only_for_this_console_and_for_no_script(ann: Console) -> None:
    said = {"name": "ann", "password": PASSWORD}
    cookie = Browser(ann).post("/sign-in", data=said).headers["set-cookie"]
    assert cookie.startswith("msflow_session_")
    parts = {part.strip() for part in cookie.split(";")[1:]}
    assert parts == {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"}
    ann.prefix = "/cameras"
    for browser in (Browser(ann, "https://cameras.example"), Browser(ann, ELSEWHERE)):
        browser.headers["Origin"] = "https://cameras.example"
        answer = browser.post("/sign-in", data={**said, "next": "/cameras/events"})
        assert answer.headers["location"] == "/cameras/events"
        parts = {part.strip() for part in answer.headers["set-cookie"].split(";")[1:]}
        assert parts == {"HttpOnly", "SameSite=Strict", "Secure", "Path=/cameras", "Max-Age=2592000"}


def test_signing_out_ends_the_session_and_not_only_in_the_browser(ann: Console) -> None:
    browser, other = Browser(ann), Browser(ann)
    browser.sign_in("ann")
    other.sign_in("ann")
    kept = dict(browser.cookies)
    answer = browser.post("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    browser.cookies.update(kept)
    assert browser.get("/").status_code == 303
    assert other.get("/").status_code == 200
    assert other.sign_in("ann") == 303
    assert len(ann.accounts.sessions.all()) == 1, "the one that the browser had is ended"


def forged(name: str, token: str) -> list[str]:
    return [
        f"{name}=",
        f"{name}={token[:-1]}",
        f"{name}={token}x",
        f"{name}={token[:-1]}{'A' if token[-1] != 'A' else 'B'}",
        f"{name}={token.swapcase()}",
        f'{name}="{token}"',
        f"{name}={'x' * 6000}; {name}=y",
        f"{name}={token[:20]}%00{token[20:]}",
        f"{name}={token}\xff",
        f"{name}=\xe9\xff\x00",
        f"{name.upper()}={token}",
        f"{name} ={token}",
        f"x{name}={token}",
        f"; ;={token};{name}",
        "=" * 5000,
        f"a=b,{name}={token}",
    ]


def test_forged_truncated_and_strange_cookies_are_nobodys(ann: Console) -> None:
    browser = Browser(ann)
    browser.sign_in("ann")
    name = cookie_name(ann.store.name)
    token = browser.cookies[name]
    stranger = Browser(ann)
    for cookie in forged(name, token):
        assert stranger.get("/", headers={"Cookie": cookie.encode("latin-1")}).status_code == 303, cookie
    for cookie in (f"{name}={token}", f"a=b;{name}={token}", f"{name}={'x' * 43}; {name}={token}"):
        assert stranger.get("/", headers={"Cookie": cookie}).status_code == 200


def test_a_session_ends_by_the_clock(ann: Console, clock: Clock) -> None:
    browser = Browser(ann)
    browser.sign_in("ann")
    clock.move(days=6)
    assert browser.get("/").status_code == 200
    clock.move(days=8)
    assert browser.get("/").status_code == 303


NEITHER = {"Origin": None, "Sec-Fetch-Site": None}
FOREIGN = [
    NEITHER,
    {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://evil.example", "Sec-Fetch-Site": None},
    {"Origin": "null", "Sec-Fetch-Site": None},
    {"Origin": "", "Sec-Fetch-Site": None},
    {"Origin": SITE, "Sec-Fetch-Site": "same-site"},
    {"Origin": SITE, "Sec-Fetch-Site": "none"},
    {"Origin": "http://127.0.0.1:9842", "Sec-Fetch-Site": None},
    {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": None},
    {"Origin": "ftp://127.0.0.1:9841", "Sec-Fetch-Site": None},
    {"Origin": f"{SITE}/", "Sec-Fetch-Site": None},
    {"Origin": f"{SITE}@evil.example", "Sec-Fetch-Site": None},
    {"Origin": "http://evil.example@127.0.0.1:9841", "Sec-Fetch-Site": None},
    {"Origin": f"{SITE} http://evil.example", "Sec-Fetch-Site": None},
    {"Origin": "http://127.0.0.1:9841:80", "Sec-Fetch-Site": None},
]


def changed(browser: Browser, headers: dict[str, str | None]) -> Browser:
    for name, value in headers.items():
        browser.headers.pop(name, None)
        if value is not None:
            browser.headers[name] = value
    return browser


@pytest.mark.parametrize("headers", FOREIGN)
def test_what_another_site_sends_in_a_persons_name_is_refused(ann: Console, headers: dict[str, str | None]) -> None:
    browser = Browser(ann)
    assert changed(Browser(ann), headers).sign_in("ann") == 403
    browser.sign_in("ann")
    changed(browser, headers)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = browser.request(method, "/decisions", json={})
        assert answer.status_code == 403
        assert "changes nothing" in answer.text
    assert browser.post("/sign-out").status_code == 403
    with pytest.raises(WebSocketDisconnect), browser.live():
        pass
    assert ann.accounts.sessions.all()


def test_a_socket_names_its_origin(ann: Console) -> None:
    browser = Browser(ann)
    browser.sign_in("ann")
    with browser.live():
        pass
    browser.headers.pop("Origin")
    with pytest.raises(WebSocketDisconnect), browser.live():
        pass


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": None},
        {"Origin": None},
        {"Host": "cameras.example", "Origin": "http://cameras.example:80"},
        {"Host": "cameras.example:8443", "Origin": "https://cameras.example:8443"},  # by a proxy that speaks HTTPS
        {"Host": "127.0.0.1:9841", "X-Forwarded-Host": "cameras.example", "Origin": "https://cameras.example"},
    ],
)
def test_what_the_consoles_own_pages_send_is_taken(ann: Console, headers: dict[str, str | None]) -> None:
    assert changed(Browser(ann), headers).sign_in("ann") == 303


def test_what_came_by_https_does_not_come_from_a_page_that_did_not(ann: Console) -> None:
    browser = Browser(ann, "https://cameras.example")
    browser.headers["Origin"] = "http://cameras.example"
    assert browser.sign_in("ann") == 403


def test_pages_of_other_sites_use_nothing_but_may_link(ann: Console) -> None:
    browser = Browser(ann)
    browser.sign_in("ann")
    for site in ("cross-site", "same-site"):
        image = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
        assert browser.get("/events", headers=image).status_code == 403
        link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert browser.get("/events", headers=link).status_code == 200
        followed = Browser(ann).get("/events", headers=link)  # browsers keep the cookie back here
        assert (followed.status_code, 'http-equiv="refresh"' in followed.text) == (200, True)


AWAY = [
    *("//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/\t/evil.example"),
    *("", "events", "/\n/evil.example", "/sign-out", "/sign-in", "/%0d%0a\r\nX: y", "///evil", "/é", "\\\\evil"),
]


@pytest.mark.parametrize("wanted", AWAY)
def test_signing_in_leads_to_this_console_and_nowhere_else(ann: Console, wanted: str) -> None:
    for prefix in ("", "/cameras"):
        ann.prefix = prefix
        asked = prefix + wanted if wanted.startswith("/") else wanted
        answer = Browser(ann).post("/sign-in", data={"name": "ann", "password": PASSWORD, "next": asked})
        assert (answer.status_code, answer.headers["location"]) == (303, f"{prefix}/")


def test_failed_attempts_are_answered_with_how_long_to_wait(ann: Console, clock: Clock) -> None:
    browser = Browser(ann, ELSEWHERE, "192.0.2.8")
    for _ in range(5):
        answer = browser.post("/sign-in", data={"name": "ann", "password": "<b>wrong</b>", "next": "/events"})
        assert answer.status_code == 403
        assert "Nobody has this name and password" in answer.text
        assert "wrong</b>" not in answer.text
    answer = browser.post("/sign-in", data={"name": "ann", "password": PASSWORD})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert "Try again in 2 seconds" in answer.text
    clock.move(seconds=2)
    assert browser.sign_in("ann") == 303
    assert ann.accounts.audit_lines(1)[0].address == "192.0.2.8"


def test_what_is_too_large_is_refused_before_it_is_read(ann: Console) -> None:
    browser = Browser(ann)
    browser.sign_in("ann")
    large = b'{"ids": "' + b"x" * 300_000 + b'"}'
    assert browser.post("/decisions", content=large, headers={"Content-Type": "application/json"}).status_code == 413
    pieces = (large[start : start + 9999] for start in range(0, len(large), 9999))  # without saying how much
    answer = browser.post("/decisions", content=pieces, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert Browser(ann).post("/sign-in", content=b"name=" + b"x" * 300_000).status_code == 413
    assert browser.post("/sign-in", data={f"f{number}": "x" for number in range(99)}).status_code == 400
