"""Every page, for everyone: in both colour schemes, on a desktop, on a phone and at 200 % zoom."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest

from msflow_stream.events.store import EventFilter
from tests.support.browser import DESKTOP, PHONE, scrolls_sideways, settle
from tests.support.console import ConsoleServer
from tests.support.seeded_teaching import seed_teaching
from tests.web.browser.conftest import Open

MENU = {
    "Live": "/",
    "Events": "/events",
    "Triage": "/triage",
    "Reports": "/report",
    "Scenes": "/scenes",
    "Health": "/health",
    "People": "/people",
    "Add a camera": "/new",
}
PATHS = (
    *MENU.values(),
    "/events/{id}",
    "/cameras/gate",
    "/cameras/gate/thresholds",
    "/cameras/gate/areas",
    "/cameras/gate/learning",
    "/scenes/gate",
    "/report?what=day&day={today}",
    "/sign-in",
)
ZOOMED = {"width": 720, "height": 450}  # a desktop at 200 %
SERIOUS = ("serious", "critical")
RUN = """async (rules) => {
  const options = { resultTypes: ["violations"], ...(rules ? { runOnly: rules } : {}) };
  const { violations } = await axe.run(document, options);
  return violations.map((v) => [v.impact, v.id, v.nodes.slice(0, 4).map((n) => `${n.target} ${n.failureSummary}`)]);
}"""


@pytest.fixture(scope="module", autouse=True)
def taught(console: ConsoleServer) -> Path:
    """The folder of the scene `gate`, which has a candidate with its shadow."""
    out = console.console.out
    seed_teaching(out)
    return out.parent / "scenes" / "gate"


@cache
def axe_script() -> str:
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def findings(page: Any, *rules: str) -> list[Any]:
    """What axe finds that is serious, by all of its rules or by some."""
    found = page.evaluate(RUN, list(rules) or None)
    return [one for one in found if one[0] in SERIOUS]


def test_the_menu_has_every_page(visit: Open) -> None:
    page = visit("/").page
    links = page.locator("nav[aria-label=Pages] a").all()
    assert {one.inner_text(): one.get_attribute("href") for one in links} == MENU


@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_for_everyone(visit: Open, console: ConsoleServer, path: str) -> None:
    (newest,) = console.console.store.find(EventFilter(limit=1))
    page = visit(path.format(id=newest.event.id, today=date.today())).page
    settle(page)
    page.evaluate(axe_script())
    assert page.locator("h1").count() == 1
    assert page.title()
    assert findings(page) == []
    page.emulate_media(color_scheme="dark")
    assert findings(page, "color-contrast") == []
    for viewport in (PHONE, ZOOMED):
        page.set_viewport_size(viewport)
        page.wait_for_timeout(100)
        assert scrolls_sideways(page) == []
        if viewport is PHONE:
            assert findings(page) == []
            page.emulate_media(color_scheme="light")
            assert findings(page, "color-contrast") == []
    page.set_viewport_size(DESKTOP)


def test_tiles_are_repainted_also_where_no_websocket_gets_through(visit: Open, console: ConsoleServer) -> None:
    page = visit("/sign-in").page
    blocked = [True]
    page.route_web_socket("**/live", lambda route: route.close() if blocked else route.connect_to_server())
    page.goto(console.url)
    for words in ("Live updates do not get through; frames are asked for one by one.", ""):
        until(page, lambda words=words: page.locator("#line").inner_text() == words)
        for name in ("gate", "yard"):
            image = page.locator(f"[data-camera={name}] img")
            before = image.get_attribute("src")
            until(page, lambda image=image, before=before: image.get_attribute("src") != before)
        blocked.clear()
    assert page.locator("[data-camera=hall] .state").inner_text().split() == ["↻", "reconnecting"]


def test_the_timeline_is_read_by_keys_and_opens_an_event(visit: Open) -> None:
    page = visit("/cameras/gate").page
    page.click("[data-span='21600']")
    until(page, lambda: "in the last 6 h" in page.locator("#summary").inner_text())
    page.focus("#chart")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert "threshold" in page.locator("#readout").inner_text()
    page.keyboard.press("+")
    page.locator("#back").click()
    until(page, lambda: page.locator("#back").is_hidden())
    newest = page.locator("#found a").first
    address = newest.get_attribute("href")
    newest.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{address}")


def test_a_candidate_is_promoted_and_rolled_back_by_keys(visit: Open, taught: Path) -> None:
    before = (taught / "scene.json").read_bytes()
    page = visit("/scenes").page
    page.locator(".card").filter(has_text="gate").get_by_role("link", name="Version 2 waits").focus()
    page.keyboard.press("Enter")
    for button, live in (("Promote", 2), ("Roll back to version 1", 1)):
        page.get_by_role("button", name=button).first.focus()
        page.keyboard.press("Enter")
        page.locator("#confirm-yes:focus, #confirm :focus").first.wait_for()
        page.locator("#confirm-yes").focus()
        with page.expect_navigation():
            page.keyboard.press("Enter")
        page.locator(".versions li").filter(has_text="● live").get_by_text(str(live), exact=True).wait_for()
        assert ((taught / "scene.json").read_bytes() == before) == (live == 1)


def test_a_report_is_chosen_and_fits_on_paper(visit: Open) -> None:
    page = visit("/report").page
    page.get_by_role("link", name="Today").click()
    page.get_by_role("heading", name="gate").wait_for()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Page to print").click()
    printed = opened.value
    printed.wait_for_load_state()
    assert printed.locator("h1").count() == 1
    assert printed.pdf(format="A4")[:5] == b"%PDF-"
    printed.set_viewport_size(PHONE)
    assert scrolls_sideways(printed) == []
    printed.close()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Evidence as ZIP").click()
    with zipfile.ZipFile(saved.value.path()) as evidence:
        assert "manifest.sha256" in {name.rpartition("/")[2] for name in evidence.namelist()}
        assert evidence.testzip() is None


def until(page: Any, holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits until something holds of a page."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        page.wait_for_timeout(100)
