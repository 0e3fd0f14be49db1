"""The console answers those who look after programs, as the watch does, and as far as they may see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from starlette.types import ASGIApp, Receive, Scope, Send

from msflow_stream.events.store import EventStore
from msflow_stream.web.access.roles import LOCAL, Role, User
from msflow_stream.web.console.app import make_app
from msflow_stream.web.console.context import Console
from msflow_stream.web.server import WebServer
from msflow_stream.web.watch_client import WatchClient
from tests.web.reports import HOSTILE
from tests.web.test_watch_app import Desk, of_all_sorts

EVE = User("eve", Role.VIEWER, frozenset({"door"}))


@contextmanager
def console(out: Path, user: User | None) -> Iterator[str]:
    """The address of a console to which everybody is this user."""

    class Everybody:
        def __init__(self, app: ASGIApp, console: Console) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["user"] = user
            await self._app(scope, receive, send)

    with EventStore(f"sqlite:///{out / 'events.db'}") as store:
        shared = Console(out=out, cameras_file=None, scenes=out, store=store, watch=WatchClient(out))
        with WebServer(make_app(shared, Everybody), (None, 0), sockets=True) as server:  # type: ignore[arg-type]
            yield server.url


def ask(url: str, path: str) -> tuple[int, str]:
    try:
        with urlopen(url + path, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_answers_as_the_watch_does(tmp_path: Path) -> None:
    with Desk(tmp_path, of_all_sorts), console(tmp_path, LOCAL) as url:
        assert ask(url, "healthz") == (200, "ok\n")
        status, text = ask(url, "readyz")
        assert (status, json.loads(text)["ready"], len(json.loads(text)["cameras"])) == (200, True, 4)
        status, text = ask(url, "metrics")
        assert status == 200
        assert "msflow_frames_delivered_total" in text


def test_health_needs_nobody_and_the_rest_only_shows_what_one_may_see(tmp_path: Path) -> None:
    with Desk(tmp_path, of_all_sorts), console(tmp_path, None) as url:
        assert ask(url, "healthz") == (200, "ok\n")
        assert [ask(url, path)[0] for path in ("readyz", "metrics")] == [401, 401]
    with Desk(tmp_path, of_all_sorts), console(tmp_path, EVE) as url:
        assert [one["name"] for one in json.loads(ask(url, "readyz")[1])["cameras"]] == ["door"]
        status, text = ask(url, "metrics")
        assert status == 403
        assert HOSTILE not in text


def test_without_a_watch_it_is_not_healthy(tmp_path: Path) -> None:
    with console(tmp_path, LOCAL) as url:
        for path in ("healthz", "readyz", "metrics"):
            status, text = ask(url, path)
            assert status == 503
            assert "no watch has written to this folder yet" in text
