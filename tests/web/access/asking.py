"""The console's application without a server, and browsers that ask it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from pathlib import Path

from starlette.testclient import TestClient, WebSocketTestSession

from msflow_stream.web.console.app import make_app
from msflow_stream.web.console.context import Console
from tests.support.console import console_of
from tests.web.access.people import PASSWORD, Clock, accounts_of

SITE = "http://127.0.0.1:9841"
LIVE = "ws://127.0.0.1:9841/live"
ELSEWHERE = "http://cameras.example"


def quick_console(out: Path, clock: Clock | None = None, prefix: str | None = "") -> Console:
    """The console of a seeded folder, with passwords that are quick to check."""
    console = console_of(out, prefix)
    console.accounts = accounts_of(console.store, clock)
    return console


class Browser(TestClient):
    """A browser: it keeps cookies and says where its requests come from."""

    def __init__(self, console: Console, site: str = SITE, address: str = "127.0.0.1") -> None:
        super().__init__(make_app(console), site, client=(address, 5000), follow_redirects=False)
        self.headers.update({"Origin": site, "Sec-Fetch-Site": "same-origin", "Accept": "text/html"})

    def sign_in(self, name: str, password: str = PASSWORD, **fields: str) -> int:
        """Sends the form and returns the status."""
        return self.post("/sign-in", data={"name": name, "password": password, **fields}).status_code

    @contextmanager
    def live(self, headers: Mapping[str, str] | None = None) -> Iterator[WebSocketTestSession]:
        """The live socket; leaving it cancels what serves it."""
        with suppress(CancelledError), self.websocket_connect(LIVE, headers=dict(headers or {})) as socket:
            yield socket
