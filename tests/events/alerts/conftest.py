"""A web server for each module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.webhook import WebReceiver


@pytest.fixture(scope="module")
def web_server() -> Iterator[WebReceiver]:
    with WebReceiver() as server:
        yield server


@pytest.fixture
def receiver(web_server: WebReceiver) -> WebReceiver:
    """The server, as if it had just begun."""
    web_server.reset()
    return web_server
