from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from email.message import Message
from urllib.error import HTTPError
from urllib.request import Request as Question
from urllib.request import urlopen

import pytest
import wsproto.events
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from wsproto import ConnectionType, WSConnection

from msflow_stream.types import UserError
from msflow_stream.watch.report import Alive, WatchReport
from msflow_stream.web import server as web_server
from msflow_stream.web.server import WebServer
from msflow_stream.web.watch_app import public_app
from tests.support.watching import until
from tests.web.reports import HOSTILE, SECRET, dark, nothing, of_all_sorts, report, running, unreachable

PATIENCE = 10  # seconds


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:  # those that made answers have said goodbye before they quite end
        thread.join(PATIENCE)
    assert not [thread.name for thread in left if thread.is_alive()]


def server(
    get: Callable[[], WatchReport] = of_all_sorts, alive: Alive | None = None, host: str | None = None, port: int = 0
) -> WebServer:
    return WebServer(public_app(get, alive), (host, port))


def ask(one: WebServer, path: str, method: str = "GET", accept: str = "*/*") -> tuple[int, str, Message]:
    """Status, text and headers of an answer."""
    request = Question(one.url.rstrip("/") + path, method=method, headers={"Accept": accept})
    try:
        with urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def test_metrics_are_served_as_prometheus_wants_them() -> None:
    with server() as one:
        status, text, headers = ask(one, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    cameras = {sample.labels.get("camera") for family in parse(text) for sample in family.samples}
    assert cameras == {None, HOSTILE, "roof", "cellar", "door"}


def test_metrics_are_served_as_openmetrics_to_who_asks_for_it() -> None:
    with server() as one:
        _, text, headers = ask(one, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "msflow_frames_read" in {family.name for family in parse_openmetrics(text)}


def test_a_process_that_answers_is_healthy() -> None:
    with server() as one:
        assert ask(one, "/healthz")[:2] == (200, "ok\n")
    with server(alive=lambda: None) as one:
        assert ask(one, "/healthz")[:2] == (200, "ok\n")


def test_a_process_that_makes_no_progress_says_why() -> None:
    with server(alive=lambda: "no batch was scored for 60 s") as one:
        assert ask(one, "/healthz")[:2] == (503, "no batch was scored for 60 s\n")


def test_health_does_not_need_a_report() -> None:
    with server(get=broken) as one:
        assert ask(one, "/healthz")[:2] == (200, "ok\n")


def test_readiness_says_how_each_camera_is_doing() -> None:
    with server(lambda: report(running(HOSTILE), dark("cellar"))) as one:
        status, text, headers = ask(one, "/readyz")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    content = json.loads(text)
    assert (content["ready"], content["reasons"]) == (True, [])
    assert content["cameras"] == [
        {"name": HOSTILE, "state": "running", "fault": None, "reason": "pictures come", "lag": 0.25},
        {
            "name": "cellar",
            "state": "stalled",
            "fault": "black",
            "reason": "black picture for 12.0 s; check the lens, the light and the camera's input",
            "lag": 1234.5,
        },
    ]


def test_what_is_not_ready_says_why_without_credentials() -> None:
    with server(lambda: report(unreachable())) as one:
        status, text, _ = ask(one, "/readyz")
    content = json.loads(text)
    assert status == 503
    assert (content["ready"], content["reasons"]) == (False, ["no camera has given a picture yet"])
    assert content["cameras"][0]["fault"] == "credentials"
    assert "camera.example" in content["cameras"][0]["reason"]
    assert SECRET not in text


def test_a_watch_of_nothing_is_not_ready() -> None:
    with server(nothing) as one:
        assert ask(one, "/readyz")[0] == 503


def test_the_index_leads_to_every_page() -> None:
    with server() as one:
        status, text, headers = ask(one, "/")
        assert (status, headers.get_content_type()) == (200, "text/html")
        for path in ("/metrics", "/healthz", "/readyz"):
            assert f'href="{path}"' in text
            assert ask(one, path)[0] == 200


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/metrics/../etc/passwd", "/%2e%2e/", "/healthz%20"])
def test_everything_else_is_not_found(path: str) -> None:
    with server() as one:
        assert ask(one, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(method: str) -> None:
    with server() as one:
        status, _, headers = ask(one, "/metrics", method)
    assert (status, set(headers["Allow"].split(", "))) == (405, {"GET", "HEAD"})


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_head_is_get_without_the_content(path: str) -> None:
    with server() as one:
        status, text, headers = ask(one, path, "HEAD")
        whole_status, whole, _ = ask(one, path)
    assert (status, text) == (whole_status, "")
    assert int(headers["Content-Length"]) == len(whole.encode())


def broken() -> WatchReport:
    raise RuntimeError(f"the password is {SECRET}")


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_a_bug_is_logged_and_not_shown(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with server(broken) as one:
        assert ask(one, path)[:2] == (500, "internal error\n")
        assert ask(one, "/healthz")[0] == 200, "the next question is answered"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.name.startswith("msflow_stream.")
    assert record.exc_info is not None
    assert path in record.getMessage()


def test_a_bug_in_the_health_check_is_not_health() -> None:
    def alive() -> str | None:
        raise RuntimeError(SECRET)

    with server(alive=alive) as one:
        assert ask(one, "/healthz")[:2] == (500, "internal error\n")


def test_many_ask_at_once_while_the_report_changes(caplog: pytest.LogCaptureFixture) -> None:
    turn = iter(range(10**6))

    def now() -> WatchReport:
        return report(*(running(f"camera{i}") for i in range(next(turn) % 5)))

    paths = ["/metrics", "/readyz", "/healthz"] * 20
    with server(now) as one, ThreadPoolExecutor(12) as people:
        answers = list(people.map(lambda path: ask(one, path), paths))
    for path, (status, text, _) in zip(paths, answers, strict=True):
        assert status in ((200, 503) if path == "/readyz" else (200,))
        if path == "/metrics":
            assert list(parse(text))
    assert not caplog.records, "as many at once are nothing to log"


def test_an_answer_does_not_wait_for_one_that_hangs() -> None:
    go_on, hangs = threading.Event(), threading.Event()

    def slow() -> WatchReport:
        hangs.set()
        go_on.wait(PATIENCE)
        return nothing()

    with server(slow) as one, ThreadPoolExecutor(1) as people:
        answer = people.submit(ask, one, "/metrics")
        assert hangs.wait(PATIENCE)
        assert ask(one, "/healthz")[0] == 200
        go_on.set()
        assert answer.result(PATIENCE)[0] == 200


def test_who_goes_away_or_talks_nonsense_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with server() as one:
        with socket.create_connection((one.host, one.port), timeout=PATIENCE) as rude:
            rude.sendall(b"GET /metrics HTTP/1.1\r\n")
        with socket.create_connection((one.host, one.port), timeout=PATIENCE) as odd:
            odd.sendall(b"\x16\x03\x01\x00\xff nonsense\r\n\r\n")
            assert odd.recv(100).startswith(b"HTTP/1.1 400")
        with socket.create_connection((one.host, one.port), timeout=PATIENCE) as large:
            large.sendall(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
            assert large.recv(100).startswith(b"HTTP/1.1 405"), "nobody waits for what is announced"
        with socket.create_connection((one.host, one.port), timeout=PATIENCE) as long:
            long.sendall(b"GET /metrics HTTP/1.1\r\nX: " + 100_000 * b"x")
            assert long.recv(100).startswith(b"HTTP/1.1 400")
        assert ask(one, "/healthz")[0] == 200
    assert not caplog.records


def test_a_port_in_use_is_said_with_what_to_do() -> None:
    with server() as one:
        other = server(nothing, port=one.port)
        with pytest.raises(UserError, match=rf"127\.0\.0\.1:{one.port}: the port is in use; give another one"):
            other.start()
        other.close()
        assert ask(one, "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("host", "port", "advice"),
    [
        ("nowhere.invalid", 0, "'nowhere.invalid' is no address"),
        ("a" * 70 + ".example", 0, "is no address"),
        ("203.0.113.7", 0, "203.0.113.7:0: this machine has no such address"),
        (None, 70000, "70000 is no port"),
        (None, -1, "-1 is no port"),
    ],
)
def test_where_it_cannot_listen_is_said_with_what_to_do(host: str | None, port: int, advice: str) -> None:
    with pytest.raises(UserError) as caught:
        server(nothing, host=host, port=port).start()
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_is_for_this_machine_alone_unless_told_otherwise() -> None:
    for host in (None, ""):
        assert server(nothing, host=host).host == "127.0.0.1"


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_version_6_is_served(host: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here ({error})")
    with server(nothing, host=host) as one:
        assert one.url == f"http://[::1]:{one.port}/"
        assert ask(one, "/healthz")[0] == 200


def test_its_port_is_free_once_it_is_closed() -> None:
    with server() as one:
        assert ask(one, "/healthz")[0] == 200
    with server(nothing, port=one.port) as again:
        assert ask(again, "/healthz")[0] == 200
    again.close()  # once more does no harm


def test_closing_finishes_the_answer_that_is_being_made() -> None:
    go_on, asked = threading.Event(), threading.Event()

    def slow() -> WatchReport:
        asked.set()
        go_on.wait(PATIENCE)
        return nothing()

    one = server(slow)
    one.start()
    with ThreadPoolExecutor(2) as people:
        answer = people.submit(ask, one, "/metrics")
        assert asked.wait(PATIENCE)
        closing = people.submit(one.close)
        go_on.set()
        assert answer.result(PATIENCE)[0] == 200
        closing.result(PATIENCE)


async def echoing(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


async def proxied(request: Request) -> JSONResponse:
    return JSONResponse({"scheme": request.url.scheme, "client": request.client.host if request.client else None})


SITE = Starlette(routes=[WebSocketRoute("/live", echoing), Route("/whence", proxied)])


def test_closing_does_not_wait_for_an_open_websocket() -> None:
    with WebServer(SITE, (None, 0), sockets=True) as one, socket.create_connection((one.host, one.port)) as browser:
        browser.settimeout(PATIENCE)
        talk = WSConnection(ConnectionType.CLIENT)
        browser.sendall(talk.send(wsproto.events.Request(host=one.host, target="/live")))
        talk.receive_data(browser.recv(4096))
        browser.sendall(talk.send(wsproto.events.TextMessage("hello")))
        while not (said := [e.data for e in talk.events() if isinstance(e, wsproto.events.TextMessage)]):
            talk.receive_data(browser.recv(4096))
        assert said == ["hello"]
        with ThreadPoolExecutor(1) as people:
            people.submit(one.close).result(PATIENCE)


def test_only_where_a_proxy_is_expected_is_it_believed() -> None:
    told = {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https"}
    for behind, answer in (
        (False, {"scheme": "http", "client": "127.0.0.1"}),
        (True, {"scheme": "https", "client": "192.0.2.9"}),
    ):
        with (
            WebServer(SITE, (None, 0), behind_proxy=behind) as one,
            urlopen(Question(f"{one.url}whence", headers=told), timeout=PATIENCE) as said,
        ):
            assert json.loads(said.read()) == answer


def test_who_sends_no_whole_request_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "REQUEST_SECONDS", 0.1)
    with server() as one:
        for beginning in (b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /hea"):
            with socket.create_connection((one.host, one.port), timeout=PATIENCE) as slow:
                slow.sendall(beginning)
                while slow.recv(4096):
                    pass  # an answer to the whole one, and then the end


def test_more_connections_than_are_expected_are_turned_away() -> None:
    with WebServer(SITE, (None, 0), most=3) as one:
        many = [socket.create_connection((one.host, one.port), timeout=PATIENCE) for _ in range(3)]
        many[-1].sendall(b"GET /whence HTTP/1.1\r\nHost: x\r\n\r\n")
        assert many[-1].recv(4096).startswith(b"HTTP/1.1 503")
        for each in many:
            each.close()

        def answered() -> bool:
            with suppress(HTTPError), urlopen(f"{one.url}whence", timeout=PATIENCE) as said:
                return bool(said.status == 200)
            return False

        until(answered, "it stays closed")


def test_an_application_that_cannot_begin_leaves_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def broken_life(_: Starlette) -> AsyncIterator[None]:
        raise RuntimeError("no")
        yield

    with WebServer(Starlette(lifespan=broken_life), (None, 0)) as one:
        until(lambda: not one.runs, "it goes on")
    assert "no" in caplog.text
