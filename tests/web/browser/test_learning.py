"""From an empty folder to an event, by clicks alone: a camera is added, its scene learnt, a violation found."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.config.cameras_file import load_file
from msflow_stream.datasets.synthetic import Violation
from msflow_stream.teaching.learning import phase_of
from tests.support.browser import DESKTOP, Watched, scrolls_sideways
from tests.support.footage import SMALL, write_clip
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.watching import Watching, until
from tests.web.browser.test_live import GONE, free_port

SLOW = (*SMALL, "event.min_duration=0.2", "fit.passes=16")
LOGIN = ("viewer", "a password: $1/{x}@")


def units_of(folder: Path, name: str, *violations: Violation) -> Path:
    clip = write_clip(folder, name, 8, violations, traffic=len(violations))
    return write_units(clip, folder / f"{name}.units")


def started(watch: Watching) -> str:
    """Starts the watch, and returns the address of its console."""
    said = len(watch.said())
    watch.start()
    found = until(lambda: re.search(r"console: (http://[^\s/]+)", watch.said()[said:]), "the console does not begin")
    assert found is not None
    return found[1]


def add_camera(page: Any, camera: RtspCamera) -> None:
    """Goes through the page of a new camera, with a wrong password first."""
    page.get_by_label("Name").fill("porch")
    page.get_by_label("Address").fill(camera.url)
    page.get_by_label("User").fill(LOGIN[0])
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Try this address").click()
    page.locator("#outcome.bad", has_text="does not accept this user").wait_for()
    assert page.get_by_label("Address").input_value() == camera.url, "what is typed stays"
    page.reload()
    assert page.get_by_label("Name").input_value() == "porch"
    assert page.get_by_label("Address").input_value() == camera.url
    assert page.get_by_label("Password", exact=True).input_value() == "", "what is secret is kept nowhere"
    page.get_by_label("User").fill(LOGIN[0])
    page.get_by_label("Password", exact=True).fill(LOGIN[1])
    page.get_by_role("button", name="Try this address").click()
    page.get_by_role("button", name="go on").click()
    page.get_by_label("private", exact=True).check()
    page.get_by_role("button", name="Put one in the middle").click()
    page.get_by_role("button", name="Go on: learning").click()
    page.get_by_label("Learn for").fill("6s")
    page.locator("[data-step=learn] summary").click()
    page.get_by_label("Calibrate for").fill("4s")
    page.get_by_label("Settings of the fit").fill("\n".join(SLOW))
    page.get_by_role("button", name="Go on →").click()
    page.go_back()
    page.get_by_role("button", name="Go on →").click()
    assert "1 private" in page.locator("#check").inner_text()


@pytest.mark.long
def test_a_camera_is_added_learnt_and_finds_a_violation_though_the_watch_is_killed(
    chromium: Any, tmp_path: Path
) -> None:
    need_server()
    normal, cart = units_of(tmp_path, "normal"), units_of(tmp_path, "cart", Violation("cart", 1, 7))
    options = ("--console", "--console-http", f"127.0.0.1:{free_port()}")
    watch = Watching(tmp_path, tmp_path / "scenes", {}, *options)
    watch.config.unlink()
    context = chromium.new_context(viewport=DESKTOP)
    context.set_default_timeout(60_000)
    with RtspCamera(normal, login=LOGIN) as camera, watch.hurried():
        try:
            one = Watched(context.new_page(), url := started(watch))
            page, title = one.page, one.page.locator("#now-name")
            page.goto(url, wait_until="load")
            page.locator(".empty").get_by_role("link", name="Add a camera").click()
            add_camera(page, camera)
            page.get_by_role("button", name="Start learning").click()
            title.get_by_text("Learning what is normal").wait_for()
            page.locator(".word.none").wait_for(state="hidden")
            assert scrolls_sideways(page) == []
            title.get_by_text("Fitting the scene").wait_for()
            page.locator("#phases", has_text=re.compile("pass [0-9]+")).wait_for()
            watch.end(signal.SIGKILL)
            assert phase_of(tmp_path / "scenes" / "porch") == "fitting"
            assert started(watch) == url
            title.get_by_text("Calibrating").wait_for()  # by itself
            title.get_by_text("It watches").wait_for()
            assert "footage supports" in page.locator("#support").inner_text()
            camera.play(cart)
            page.get_by_role("link", name="See it watch").click()
            page.locator(".last a").click()
            page.wait_for_url("**/events/*")
            one.check(allowed=GONE)
        finally:
            context.close()
            watch.__exit__()
    file = load_file(watch.config).cameras["porch"]
    assert file.privacy
    assert watch.config.stat().st_mode & 0o777 == 0o600
    assert LOGIN[1] not in watch.said()
    assert "%241" not in watch.said()
