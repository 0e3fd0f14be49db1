"""What people do with the console, in a browser: judge, undo, draw, tune; by keyboard alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cli
from msflow_stream.config.cameras_file import load_file
from msflow_stream.events.store import EventStore
from tests.support.browser import DESKTOP, PHONE, Watched
from tests.support.console import ConsoleServer, seeded
from tests.support.hostile import SCRIPT, fill
from tests.support.watching import until
from tests.web.browser.conftest import Open

PASSWORD = "correct horse battery"


def labels(console: ConsoleServer) -> list[str | None]:
    return [one.label for one in console.console.store.find()]


@pytest.mark.long
def test_a_hundred_events_of_five_causes_are_judged_by_ten_keys(visit: Open, console: ConsoleServer) -> None:
    page = visit("/triage").page
    assert labels(console) == [None] * 100
    pressed = 0
    while page.locator("#done").is_hidden():
        page.keyboard.press("n" if pressed % 2 else "x")
        page.wait_for_timeout(150)
        pressed += 1
        assert pressed <= 10
    until(lambda: None not in labels(console), "not all are judged", 20)
    for _ in range(pressed):
        page.keyboard.press("u")
    until(lambda: labels(console) == [None] * 100, "they are not as before", 20)


def test_the_event_that_is_shown_large_is_left_out_by_a_key(visit: Open, console: ConsoleServer) -> None:
    page = visit("/triage").page
    page.locator("#members button").nth(1).wait_for()
    page.keyboard.press("e")
    assert page.locator("#members button[aria-pressed=true]:focus").count() == 1
    left_out = page.locator("#members button[aria-pressed=true]").get_attribute("data-id")
    assert str(left_out) in str(page.locator("#open").get_attribute("href"))
    page.keyboard.press("e")
    assert page.locator("#members button[aria-pressed=true]").count() == 0


def test_an_area_is_drawn_and_saved_by_keyboard(visit: Open, console: ConsoleServer) -> None:
    file = console.console.cameras_file
    assert file is not None
    before = file.read_text()
    page = visit("/cameras/gate/areas").page
    page.wait_for_timeout(500)
    assert page.locator("#save").is_disabled()
    page.locator("#drawing").focus()
    page.keyboard.press("Enter")
    for key in ("Shift+ArrowLeft", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    page.locator("#save:not([disabled])").wait_for()
    page.locator("#save").focus()
    page.keyboard.press("Enter")
    until(lambda: file.read_text() != before, "it is not saved", 30)
    _, area = load_file(file).cameras["gate"].ignore
    assert len(area) >= 3
    lines = file.read_text().splitlines()
    assert [line for line in before.splitlines() if "#" in line and line not in lines] == []
    page.locator("#save[disabled]").wait_for(state="attached")


def test_what_the_page_about_health_shows_stays_where_one_is(visit: Open) -> None:
    page = visit("/health").page
    page.locator("#text").fill("no answer")
    page.locator("#found", has_text="15 lines").wait_for()
    page.locator("#log").evaluate("(one) => { one.scrollTop = 60; }")
    page.locator("#text").focus()
    before = page.locator("#updated").inner_text()
    until(lambda: page.locator("#updated").inner_text() != before, "it shows nothing new", 20)
    assert page.evaluate("document.activeElement.id") == "text"
    assert page.locator("#text").input_value() == "no answer"
    assert page.locator("#log").evaluate("(one) => one.scrollTop") == 60


def test_script_that_somebody_put_into_names_is_never_run(chromium: Any, tmp_path: Path) -> None:
    out = seeded(tmp_path, cameras=2, events=4, hours=0.2)
    id = fill(out)
    with ConsoleServer(out) as server:
        server.console.store.decide([id], "ann", note=SCRIPT)
        context = chromium.new_context(viewport=DESKTOP, user_agent=SCRIPT)
        one = Watched(context.new_page(), server.url)
        ran: list[str] = []
        one.page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
        shown = 0
        for path in ("/", "/events", f"/events/{id}", f"/events/{id}0", "/triage", "/health", "/people"):
            one.page.goto(server.url + path, wait_until="load")
            one.page.wait_for_timeout(300)
            shown += SCRIPT in one.page.locator("body").inner_text()
        one.check()
        context.close()
    assert ran == []
    assert shown >= 2


@pytest.mark.long
def test_killed_and_started_again_the_console_knows_sessions_and_labels(chromium: Any, tmp_path: Path) -> None:
    out = seeded(tmp_path, cameras=1, events=2, hours=0.1, evidence=False)
    command = [sys.executable, cli.__file__, "console"]
    user = [*command, "user", "add", "ann", "--role", "operator", "--out", str(out)]
    subprocess.run(user, input=f"{PASSWORD}\n{PASSWORD}\n", text=True, check=True, capture_output=True, timeout=120)
    log = tmp_path / "console.log"

    def start(port: int) -> tuple[subprocess.Popen[bytes], str]:
        said = len(log.read_text()) if log.exists() else 0
        with log.open("a") as file:
            serve = [*command, "--out", str(out), "--http", f"127.0.0.1:{port}"]
            process = subprocess.Popen(serve, stdout=file, stderr=file)
        found = until(lambda: re.search(r"console: (http://\S+?)/?\s", log.read_text()[said:]), "it does not start")
        assert found is not None
        return process, found[1]

    process, url = start(0)
    context = chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    try:
        page = context.new_page()
        page.goto(f"{url}/events")
        page.get_by_label("Name").fill("ann")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/events")
        page.wait_for_load_state("load")
        page.get_by_role("button", name="Violation").first.click()
        page.locator("article[data-id] .badge", has_text="violation").first.wait_for()
        process.kill()
        process.wait(30)
        process, again = start(int(url.rpartition(":")[2]))
        assert again == url
        page.reload()
        page.locator("article[data-id] .badge", has_text="violation").first.wait_for()
    finally:
        context.close()
        process.kill()
        process.wait(30)
    with EventStore(f"sqlite:///{out / 'events.db'}") as store:
        assert [(one.label, one.labelled_by) for one in store.find()].count(("violation", "ann")) == 1


def test_the_dial_shows_what_would_have_been_raised_and_a_position_is_applied_and_undone(
    visit: Open, console: ConsoleServer
) -> None:
    scene = console.console.scenes / "gate" / "scene.json"
    before = scene.read_text()
    page = visit("/cameras/gate/thresholds").page
    page.locator("#rate:enabled").wait_for(timeout=60_000)
    alarms = page.locator("#alarms li")
    today = alarms.count()
    assert page.locator("#alarms img").count() == today > 0
    page.locator("#rate").focus()
    page.keyboard.press("End")
    assert alarms.count() > today
    assert "new" in page.locator("#counts").inner_text()
    page.locator("#apply").press("Enter")
    page.locator("#promise li", has_text="Normal footage").wait_for(timeout=60_000)
    page.locator("#confirm-apply").press("Enter")
    page.locator("#undo:visible").wait_for(timeout=60_000)
    page.locator("#rate:enabled").wait_for(timeout=60_000)
    assert scene.read_text() != before
    until(lambda: alarms.count() > today, "what was applied is not what is shown for today", 60)
    page.locator("#undo").press("Enter")
    page.locator("#undo").wait_for(state="hidden", timeout=60_000)
    assert json.loads(scene.read_text()) == json.loads(before) | {"applied": None}
