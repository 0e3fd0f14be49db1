"""A browser, and a seeded console for it; each file of tests has its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.pipelines.conftest import workplace
from tests.support.browser import DESKTOP, Watched, browser, need_browser
from tests.support.console import ConsoleServer, seeded
from tests.support.seeded_watch import SeededWatch

__all__ = ["chromium", "console", "visit", "workplace"]

Open = Callable[..., Watched]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    need_browser()
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def console(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleServer]:
    """The console beside a watch, with a hundred events of five causes; 60 of them have evidence."""
    out = seeded(tmp_path_factory.mktemp("console"), events=100, hours=2, labelled=0)
    with SeededWatch(out), ConsoleServer(out) as server:
        yield server


@pytest.fixture
def visit(chromium: Any, console: ConsoleServer) -> Iterator[Open]:
    """Opens a page of the console in a window of its own; in the end it must have behaved."""
    opened: list[Watched] = []

    def open_page(path: str, **settings: Any) -> Watched:
        context = chromium.new_context(**{"viewport": DESKTOP, **settings})
        context.set_default_timeout(15_000)
        one = Watched(context.new_page(), console.url)
        opened.append(one)
        one.page.goto(console.url + path, wait_until="load")
        return one

    yield open_page
    try:
        for one in opened:
            one.check()
    finally:
        for one in opened:
            one.page.context.close()
