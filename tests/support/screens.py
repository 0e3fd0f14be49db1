"""Screens of the console's pages as PNG: `python -m tests.support.screens FOLDER [PAGE...]`.

Each page on a desktop and on a phone, light and dark, over a seeded folder with a stand-in for its watch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from msflow_stream.events.store import EventFilter
from msflow_stream.teaching.drift.finding import Finding, Rate
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.drift_view import TITLES, DriftShown, rate_in_words
from tests.support.browser import DESKTOP, PHONE, browser, scrolls_sideways, settle
from tests.support.console import ConsoleServer, seeded
from tests.support.seeded_teaching import seed_teaching
from tests.support.seeded_watch import SeededWatch

PASSWORD = "correct horse battery"


def paths(server: ConsoleServer) -> dict[str, str]:
    """The pages by name: those in the menu, and those of a camera, an event, a scene and a report."""
    (newest,) = server.console.store.find(EventFilter(limit=1))
    menu = {name.lower(): path for name, path, _ in server.console.menu}
    camera = {"camera": "/cameras/gate", "thresholds": "/cameras/gate/thresholds", "areas": "/cameras/gate/areas"}
    span = f"?what=day&day={date.today()}"
    report = {"report": f"/report{span}", "printed": f"/report/page{span}"}
    others = {"scene": "/scenes/gate", "learning": "/cameras/gate/learning", "missing": "/nowhere"}
    return {**menu, **camera, **report, **others, "event": f"/events/{newest.event.id}"}


def take(server: ConsoleServer, folder: Path, wanted: list[str], *, whole: bool = False) -> None:
    """Writes the screens into a folder, PAGE-desktop-dark.png and so on, and says what does not fit."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"desktop": DESKTOP, "phone": PHONE}
    with browser() as chromium:
        for size, viewport in sizes.items():
            for scheme in ("light", "dark"):
                context = chromium.new_context(viewport=viewport, color_scheme=scheme, has_touch=size == "phone")
                page = context.new_page()
                if not wanted or "sign-in" in wanted:
                    _take(page, server.url + "/sign-in", folder / f"sign-in-{size}-{scheme}.png", whole)
                _sign_in(page, server.url)
                for name, path in paths(server).items():
                    if not wanted or name in wanted:
                        _take(page, server.url + path, folder / f"{name}-{size}-{scheme}.png", whole)
                context.close()


def drifting(console: Console) -> None:
    """Has a camera drift in two ways, as far as pages know."""
    since, times = date.today() - timedelta(days=3), {"amount": 0.04, "turn": 1.0, "zoom": 1.0, "views": 3}
    moved = Finding(
        "moved",
        since,
        "The camera was moved: what stands still is 4 % of the view's width further to the right.",
        "Look at its areas, and have its scene learnt anew.",
        "seen in 3 hours, 84 % of 61 places in the view",
        times,
    )
    light = Finding(
        "light", since, "It is darker at 20:00 to 22:00 than anything that was learnt.", "Record those hours.", "sure"
    )
    rate = Rate(14, 301.0, 41, 12, 3.3, 2.4, 4.4, 1.2)
    values = DriftShown([(TITLES[one.kind], one) for one in (moved, light)], rate_in_words(rate))
    for scene in ("gate", "yard"):
        console.drifts._known["gate", scene] = time.monotonic() + 3600, values


def _sign_in(page: Any, url: str) -> None:
    page.goto(f"{url}/sign-in")
    page.get_by_label("Name").fill("mira")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/")


def _take(page: Any, url: str, path: Path, whole: bool) -> None:
    page.goto(url, wait_until="load")
    settle(page)
    page.wait_for_timeout(1000)
    page.screenshot(path=path, full_page=whole)
    wide = scrolls_sideways(page)
    if wide:
        print(f"{path.name}: wider than the window: {wide}", flush=True)  # noqa: T201


def main() -> None:
    """Seeds a folder, serves it, and takes the screens."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("folder", type=Path)
    ask.add_argument("pages", nargs="*", help="names of pages; all if none is given")
    ask.add_argument("--away", action="store_true", help="no watch runs")
    ask.add_argument("--whole", action="store_true", help="pages in their whole length")
    given = ask.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        out = seeded(Path(folder), hours=6)
        seed_teaching(out)
        if not given.away:
            stack.enter_context(SeededWatch(out))
        server = stack.enter_context(ConsoleServer(out))
        drifting(server.console)
        server.console.accounts.add("mira", PASSWORD, Role.ADMIN, None, "local")
        server.console.accounts.add("jon", PASSWORD, Role.VIEWER, ["gate"], "mira")
        take(server, given.folder, given.pages, whole=given.whole)


if __name__ == "__main__":
    main()
