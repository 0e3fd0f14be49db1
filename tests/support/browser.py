"""A browser for tests: Debian's Chromium by Playwright, and what a page must not do in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pytest

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
READY = {"thresholds": "#rate:not([disabled])"}  # what is there once a page has what it shows, by the address's end
LISTEN = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (e) =>
  window.__violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));
"""


@cache
def chromium() -> str | None:
    """Returns the path of the browser, None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def need_browser() -> None:
    """Skips the test, or fails it in CI, where there is no browser."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        reason = "no Playwright; pip install playwright"
    else:
        if chromium() is not None:
            return
        reason = "no Chromium; apt-get install chromium fonts-dejavu-core"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def browser() -> Iterator[Any]:
    """Yields a browser without a window, from `playwright.sync_api`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        try:
            yield one
        finally:
            one.close()


class Watched:
    """A page, and what it did that no page of the console may do.

    Attributes:
        page: of `playwright.sync_api`.
        errors: of its scripts and its console, and answers of 500 and more.
        elsewhere: requests to other hosts.
    """

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.errors, self.elsewhere = page, list[str](), list[str]()
        self._host = urlsplit(url).netloc
        page.add_init_script(LISTEN)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        page.on("request", self._requested)
        page.on("response", lambda answer: self.errors.append(answer.url) if answer.status >= 500 else None)

    def _requested(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self._host:
            self.elsewhere.append(request.url)

    def check(self, allowed: tuple[str, ...] = ()) -> None:
        """Fails where the page broke the policy, had errors but for the `allowed` texts, or asked another host."""
        broken = self.page.evaluate("window.__violations")
        assert broken == [], broken
        assert self.elsewhere == [], self.elsewhere
        errors = [one for one in self.errors if not any(text in one for text in allowed)]
        assert errors == [], errors


def scrolls_sideways(page: Any) -> list[str]:
    """Returns what is wider than the window; nothing may be, but inside of what scrolls by itself."""
    found: list[str] = page.evaluate(
        """() => {
          const width = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= width) return [];
          return [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > width + 1)
            .map((e) => `${e.tagName}.${e.className} ${Math.round(e.getBoundingClientRect().right)}`).slice(0, 8);
        }"""
    )
    return found


def settle(page: Any) -> None:
    """Waits until a page shows what it has to show; live pages never rest."""
    ready = READY.get(page.url.rstrip("/").rpartition("/")[2])
    if ready is not None:
        page.locator(ready).wait_for(timeout=60_000)
    page.wait_for_timeout(500)
