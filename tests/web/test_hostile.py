"""What a hostile browser, site or network may send to the console, and what somebody may have put into its folders."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from msflow_stream.events.store import EventFilter
from msflow_stream.web.access.cookie import cookie_name
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.routing import ConsoleRoute, all_routes
from tests.support.console import ConsoleServer, seeded
from tests.support.hostile import SCRIPT, fill
from tests.support.seeded_watch import SeededWatch

PARAMETER = re.compile(r"\{[^}]*\}")
WRITES = {"POST", "PUT", "PATCH", "DELETE"}
PATHS = (
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "../../../../etc/passwd",
    "%2fetc%2fpasswd",
    "..",
    "%2e%2e",
    "..%5c..%5cetc",
    "gate%00",
    "%00",
    "%ff%fe",
    "%0d%0aSet-Cookie:%20a=b",
    ".watch.json",
    "a" * 3000,
)
REFUSED = range(400, 500)
ANSWERED = {
    "/new/try",
    "/scenes/{name}/teach",
}  # any object: what is wrong with an address in words; a wish says nothing
HUNG_UP = 499  # without an answer: what is sent on is not read


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    server: ConsoleServer, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """Sends a request as it is written here: no client tidies it up."""
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    given = {"Host": where.netloc, **(headers or {})}
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            connection.putheader(name, value)
        if body is not None and "Transfer-Encoding" not in given and "Content-Length" not in given:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        with suppress(OSError):  # it may hang up on what it does not want
            connection.sock.sendall(body or b"")
        try:
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        except ConnectionResetError:
            return Answer(HUNG_UP, {}, b"")
    finally:
        connection.close()


def post(server: ConsoleServer, route: ConsoleRoute, body: bytes = b"{}", **headers: str) -> Answer:
    """Sends JSON to a route that writes, as the console's own pages do unless `headers` say otherwise."""
    own = {"Content-Type": "application/json", "Origin": server.url, "Sec-Fetch-Site": "same-origin"}
    given = {**own, **{name.replace("_", "-"): value for name, value in headers.items()}}
    method = next(iter(WRITES & set(route.methods)))
    return ask(server, method, PARAMETER.sub("gate", route.path), body, given)


def takes_json(route: ConsoleRoute) -> bool:
    return not route.is_page


ROUTES = list(all_routes())
WRITING = [route for route in ROUTES if WRITES & set(route.methods)]
SOCKETS = [route for route in ROUTES if route.is_socket]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleServer]:
    out = seeded(tmp_path_factory.mktemp("hostile"), cameras=2, events=4, hours=0.2)
    fill(out)
    with SeededWatch(out), ConsoleServer(out) as one:
        yield one


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleServer]:
    """A console that needs people to sign in, behind a proxy that says below which path it is."""
    out = seeded(tmp_path_factory.mktemp("guarded"), cameras=1, events=1, hours=0.05, evidence=False)
    with ConsoleServer(out, prefix="auto") as one:
        one.console.accounts.add("ann", "correct horse battery", Role.ADMIN, None, "test")
        yield one


@pytest.fixture(scope="module")
def event(server: ConsoleServer) -> str:
    stored = server.console.store.find(EventFilter(camera="gate"))
    return next(one.event.id for one in stored if (server.console.out / "gate" / "events" / one.event.id).is_dir())


def test_no_path_leaves_its_folder(server: ConsoleServer) -> None:
    asked = [
        (method, PARAMETER.sub(lambda _, value=value: value, route.path))  # type: ignore[misc]
        for route in ROUTES
        if PARAMETER.search(route.path) and not route.is_socket
        for method in sorted(route.methods)
        for value in PATHS
    ]
    asked += [("GET", f"/static/{server.console.asset_version}/{value}") for value in (*PATHS, "../context.py")]
    wrong = []
    for method, path in asked:
        own = {"Content-Type": "application/json", "Origin": server.url} if method in WRITES else {}
        answer = ask(server, method, path, b"{}" if method in WRITES else None, own)
        if answer.status not in REFUSED or b"root:" in answer.body or "set-cookie" in answer.headers:
            wrong.append((method, path[:80], answer.status))
    assert wrong == []


def test_the_files_of_an_event_are_those_that_its_evidence_lists(server: ConsoleServer, event: str) -> None:
    names = (
        "../event.json",
        "..%2f..%2fscores.csv",
        "%2e%2e%2f%2e%2e%2fscores.csv",
        "/etc/passwd",
        "keep",
    )
    found = {name: ask(server, "GET", f"/events/{event}/files/{name}").status for name in names}
    assert {name: status for name, status in found.items() if status not in REFUSED} == {}


@pytest.mark.parametrize(
    "wanted",
    ["bytes=abc", "bytes=9-5", "bytes=-0", "bytes=99999999999-", "bytes=--1", "bytes", "lines=1-2", "bytes=0-0," * 2000]
)  # fmt: skip
def test_a_range_that_makes_no_sense_harms_nobody(server: ConsoleServer, event: str, wanted: str) -> None:
    path = f"/events/{event}/files/clip.mp4"
    size = (server.console.out / "gate" / "events" / event / "clip.mp4").stat().st_size
    answer = ask(server, "GET", path, headers={"Range": wanted})
    assert answer.status in (200, 206, 400, 416, 431)
    assert len(answer.body) <= size + 1000


def test_bodies_that_are_too_large_are_refused(server: ConsoleServer) -> None:
    body = json.dumps({"note": "a" * 2**20}).encode()
    found = {route.path: post(server, route, body).status for route in WRITING}
    assert {path: status for path, status in found.items() if status not in REFUSED} == {}
    assert 413 in found.values()


def test_headers_that_are_too_large_are_refused(server: ConsoleServer) -> None:
    assert ask(server, "GET", "/", headers={"Cookie": "a=" + "b" * 2**20}).status in REFUSED
    assert ask(server, "GET", "/?" + "a" * 2**20).status in REFUSED
    assert ask(server, "GET", "/").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Origin": "http://other.127.0.0.1"},
    ],
)
def test_other_sites_write_nothing(server: ConsoleServer, headers: dict[str, str]) -> None:
    found = {route.path: post(server, route, **headers).status for route in WRITING}
    assert {path: status for path, status in found.items() if status != 403} == {}


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_other_sites_open_no_socket(server: ConsoleServer, origin: str) -> None:
    assert SOCKETS
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Origin": origin,
    }
    for route in SOCKETS:
        assert ask(server, "GET", route.path, headers=handshake).status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "127.0.0.1@evil.example"]
)
def test_a_name_that_was_bound_anew_reaches_nothing(server: ConsoleServer, host: str) -> None:
    answer = ask(server, "GET", "/", headers={"Host": host})
    assert answer.status in REFUSED
    assert b"gate" not in answer.body


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'"text"', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"a":' * 30_000, "application/json"),
        (b"\xff\xfe\x00", "application/json"),
        (b"{}", "text/plain"),
        (b"a=b", "application/x-www-form-urlencoded"),
        (b"{}", "application/json\x0b; charset=nonsense"),
        (b'{"id": {"$ne": null}, "ids": [1, null, {}], "label": 7, "note": [], "areas": "x"}', "application/json"),
    ],
)
def test_what_is_no_json_of_ours_is_refused(server: ConsoleServer, body: bytes, kind: str) -> None:
    found = {route.path: post(server, route, body, Content_Type=kind).status for route in WRITING if takes_json(route)}
    if b"$ne" in body:
        assert {found.pop(path) for path in ANSWERED} == {200}
    assert {path: status for path, status in found.items() if status not in REFUSED} == {}


def test_a_forged_cookie_is_nobody(guarded: ConsoleServer) -> None:
    names = ("session", "msflow_session", "msflow-stream", cookie_name(guarded.console.store.name))
    for value in ("a" * 64, "../../etc/passwd", '"; Path=/', "%00", "\xe9", "admin", "eyJhbGciOiJub25lIn0.e30.", ""):
        for name in names:
            headers = {"Cookie": f"{name}={value}", "Sec-Fetch-Site": "same-origin"}
            assert ask(guarded, "GET", "/", headers=headers).status in (303, 400, 401)


@pytest.mark.parametrize(
    "prefix",
    ["//evil.example", "https://evil.example", "javascript:alert(1)", SCRIPT, '/a" onload="b', "/a/../../b?"],
)
def test_a_proxys_prefix_is_a_path_or_nothing(guarded: ConsoleServer, prefix: str) -> None:
    for name in ("X-Forwarded-Prefix", "X-Ingress-Path"):
        body = ask(guarded, "GET", "/sign-in", headers={name: prefix}).body.decode()
        assert 'data-root=""' in body
        assert "evil.example" not in body


def test_a_proxys_prefix_is_before_all_links(guarded: ConsoleServer) -> None:
    answer = ask(guarded, "GET", "/sign-in", headers={"X-Forwarded-Prefix": "/cameras/"})
    assert set(re.findall(r'(?:href|src|action)="(/[^/"]*)', answer.body.decode())) == {"/cameras"}


def test_a_prefix_that_was_not_asked_for_changes_nothing(server: ConsoleServer) -> None:
    assert b"/elsewhere" not in ask(server, "GET", "/", headers={"X-Forwarded-Prefix": "/elsewhere"}).body


def test_script_in_names_and_texts_is_text(server: ConsoleServer) -> None:
    (one,) = (each for each in server.console.store.find(EventFilter(camera="yard")) if SCRIPT in each.event.scene)
    pages = [route.path for route in ROUTES if route.is_page and "GET" in route.methods]
    paths = [PARAMETER.sub(one.event.id if path.startswith("/events") else "yard", path) for path in pages]
    paths += [f"{path}?next={SCRIPT}&text={SCRIPT}&camera={SCRIPT}".replace(" ", "%20") for path in paths]
    found = 0
    for path in paths:
        answer = ask(server, "GET", path, headers={"User-Agent": SCRIPT, "Referer": SCRIPT})
        body = answer.body.decode()
        assert answer.status < 500, path
        assert SCRIPT not in body, path
        assert "<img src=x" not in body, path
        found += "&lt;script&gt;" in body or "\\u003cscript" in body
    assert found


def test_what_is_no_http_is_answered_or_hung_up_on(server: ConsoleServer) -> None:
    where = urlsplit(server.url)
    for raw in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\r\n" * 100 + b"\x00",
        b"A" * 70_000,
    ):
        with socket.create_connection((where.hostname or "", where.port or 0), timeout=10) as client:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            said = client.recv(100)
        assert not said or said.startswith(b"HTTP/1.1 4")
    assert ask(server, "GET", "/").status == 200
