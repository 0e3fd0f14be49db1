"""Events are seen and judged in a browser: the frame of a score, clips that do not play, groups, swipes, the list."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.events.evidence.event_clips import EvidenceSettings
from msflow_stream.events.evidence.event_files import evidence_folder
from msflow_stream.events.store import EventFilter
from msflow_stream.teaching.exceptions import Exceptions
from tests.events.evidence.test_files import LENGTH, OPEN, witness
from tests.support.browser import PHONE
from tests.support.console import ConsoleServer
from tests.support.videos import write_video
from tests.web.browser.conftest import Open

RATE = 25
UNLABELLED = EventFilter(label="none")

# The number that the frame on a <video> says, as `read_code` of the tests reads it.
READ = """(selector) => {
  const video = document.querySelector(selector), canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const g = canvas.getContext("2d");
  g.drawImage(video, 0, 0);
  const pixels = g.getImageData(0, 0, canvas.width, canvas.height).data;
  const bit = (cell) => {
    const y = Math.floor((Math.floor(cell / 5) + 0.5) * canvas.height / 4);
    const x = Math.floor((cell % 5 + 0.5) * canvas.width / 5);
    return pixels[4 * (y * canvas.width + x)] > 127 ? 1 : 0;
  };
  let number = 0;
  for (let k = 0; k < 10; k += 1) {
    if (bit(k) === bit(k + 10)) return null;
    number += bit(k) << k;
  }
  return number;
}"""
SETTLED = "[...document.querySelectorAll('.clip, .heat')].every((one) => one.readyState >= 2 && !one.seeking)"


def until(page: Any, true: str) -> None:
    """Waits for a script's value; the page itself may not evaluate text, so it is asked again and again."""
    end = time.monotonic() + 15
    while not page.evaluate(true):
        assert time.monotonic() < end, true
        page.wait_for_timeout(20)


def real_evidence(console: ConsoleServer, folder: Path, **coding: Any) -> tuple[str, float]:
    """Gives the newest event a clip that was cut out of a source of numbered frames, as the watch cuts it.

    Returns its id, and the source's time at which that source has frame 0.
    """
    (stored,) = console.console.store.find(EventFilter(limit=1))
    source = write_video(folder / "source.mp4", LENGTH, (160, 120), rate=RATE, keyframe_every=30, **coding)
    made = witness(folder, source, EvidenceSettings(pre_roll=1.9, post_roll=1.0))
    zero = stored.event.start - OPEN / RATE
    here = evidence_folder(console.console.out, stored.event)
    record = json.loads((here / "event.json").read_text())
    evidence = json.loads((made / "event.json").read_text())["evidence"]
    assert evidence["clips"][0]["start"] == pytest.approx(3.6)  # a key frame before what was asked for
    for part in (*evidence["clips"], *evidence["overlays"]):
        (here / part["file"]).write_bytes((made / part["file"]).read_bytes())
        part["start"], part["end"] = part["start"] + zero, part["end"] + zero
    (here / "event.json").write_text(json.dumps({**record, "evidence": evidence}))
    return stored.event.id, zero


def test_a_click_on_a_score_shows_its_frame_and_the_overlay_is_in_step(
    visit: Open, console: ConsoleServer, tmp_path: Path
) -> None:
    id, zero = real_evidence(console, tmp_path, b_frames=2)
    page = visit(f"/events/{id}").page
    until(page, SETTLED)
    details = page.evaluate("fetch(location.pathname + '/details').then((answer) => answer.json())")
    times, indices = details["scores"]["time"], details["scores"]["index"]
    first, last = details["clips"][0]["start"], details["clips"][0]["end"]
    shown = [at for at, time in enumerate(times) if first <= time <= last]
    box = page.locator(".timeline").bounding_box()
    for at in (shown[-3], shown[2], shown[len(shown) // 2], shown[len(shown) // 2 + 1], shown[0]):
        share = (times[at] - times[0]) / (times[-1] - times[0])
        page.mouse.click(box["x"] + 38 + share * (box["width"] - 44), box["y"] + 50)
        assert page.get_attribute("#event", "data-index") == str(indices[at])
        until(page, SETTLED)
        page.wait_for_timeout(60)  # until it is painted
        assert page.evaluate(READ, ".clip") == round((times[at] - zero) * RATE)
    page.keyboard.press(".")
    until(page, SETTLED)
    page.wait_for_timeout(60)
    assert page.evaluate(READ, ".clip") == round((times[shown[0]] - zero) * RATE) + 1
    page.keyboard.press(" ")
    until(page, "document.querySelector('.clip').currentTime > 1")
    page.keyboard.press(" ")
    page.wait_for_timeout(100)
    until(page, SETTLED)
    clip, heat = (page.evaluate(f"document.querySelector('{one}').currentTime") for one in (".clip", ".heat"))
    starts = [details[name][0]["start"] for name in ("clips", "overlays")]
    assert -0.03 < (clip + starts[0]) - (heat + starts[1]) < 0.25  # the scored frame at that moment, or the one before


def test_a_clip_that_the_browser_cannot_play_gives_way_to_its_overlay(
    visit: Open, console: ConsoleServer, tmp_path: Path
) -> None:
    id, _ = real_evidence(console, tmp_path, codec="mpeg4")
    page = visit(f"/events/{id}").page
    page.wait_for_selector("#codec:not([hidden])")
    assert "does not play the clip's codec (MPEG4)" in page.inner_text("#codec")
    assert page.get_attribute("#codec a", "href").endswith("/files/clip.mp4?download=1")
    until(page, "document.querySelector('.clip').readyState >= 2")
    assert page.evaluate("document.querySelector('.clip').currentSrc").endswith("overlay.mp4")


def test_what_is_left_out_of_a_decision_is_still_to_be_judged(visit: Open, console: ConsoleServer) -> None:
    store = console.console.store
    page = visit("/triage?camera=yard").page
    page.wait_for_selector("#members button")
    before = store.count(UNLABELLED)
    size = page.locator("#members button").count()
    page.locator("#members button").first.click()
    assert "(1 left out)" in page.inner_text("#group-title")
    page.keyboard.press("n")
    page.wait_for_selector(".toast")
    assert store.count(UNLABELLED) == before - (size - 1)
    page.keyboard.press("k")
    assert page.inner_text("#group-title") == "1 event at yard"
    page.keyboard.press("s")
    until(page, "document.querySelector('.toast').textContent.includes('unsure')")
    assert store.count(EventFilter(label="unsure")) == 1
    page.keyboard.press("u")
    until(page, "document.getElementById('group-title').textContent === '1 event at yard'")
    assert store.count(EventFilter(label="unsure")) == 0


def test_a_swipe_judges_a_group(visit: Open, console: ConsoleServer) -> None:
    store = console.console.store
    page = visit("/triage?camera=gate", viewport=PHONE, has_touch=True, is_mobile=True).page
    page.wait_for_selector("#members button")
    before, title = store.count(UNLABELLED), page.inner_text("#progress")
    swipe(page, -40)
    assert store.count(UNLABELLED) == before  # too short
    swipe(page, -220)
    page.wait_for_selector(".toast")
    assert page.inner_text("#progress") != title
    assert store.count(UNLABELLED) < before
    assert store.count(EventFilter(label="normal")) > 0


def swipe(page: Any, by: float) -> None:
    """Draws a finger over the group."""
    devtools = page.context.new_cdp_session(page)
    box = page.locator("#group-title").bounding_box()
    x, y = box["x"] + (250 if by < 0 else 60), box["y"] + 10

    def touch(kind: str, *points: float) -> None:
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": at, "y": y} for at in points]})

    touch("touchStart", x)
    for step in range(1, 9):
        touch("touchMove", x + by * step / 8)
    touch("touchEnd")


def test_keys_judge_in_the_list_and_undo_takes_it_back(visit: Open, console: ConsoleServer) -> None:
    page = visit("/events").page
    page.keyboard.press("j")
    page.keyboard.press("j")
    one = page.locator("article.current")
    id = one.get_attribute("data-id")
    assert [stored.event.id for stored in console.console.store.find(EventFilter(limit=2))][1] == id
    page.keyboard.press("s")
    page.wait_for_selector("article.current[data-label=unsure]")
    assert page.locator("article.current [data-label=unsure]").get_attribute("aria-pressed") == "true"
    page.keyboard.press("u")
    page.wait_for_selector("article.current:not([data-label=unsure])")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").inner_text().count("\n") > 6
    page.keyboard.press("Escape")
    page.locator("#more").scroll_into_view_if_needed()
    until(page, "document.querySelectorAll('#list article').length === 100 || scrollTo(0, document.body.scrollHeight)")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/events/{id}")


def test_normal_here_is_one_decision_that_one_undo_takes_back(visit: Open, console: ConsoleServer) -> None:
    store = console.console.store
    stored = next(one for one in store.find(UNLABELLED) if one.event.tracks and "view" not in one.event.triggers)
    exceptions = Exceptions(console.console.scenes / stored.event.scene)
    page = visit(f"/events/{stored.event.id}").page
    page.locator("#here[aria-pressed=false]").click()
    page.locator("#here[aria-pressed=true]").wait_for()
    assert store.get(stored.event.id).label == "normal"
    assert [one.event for one in exceptions.entries] == [stored.event.id]
    camera = visit(f"/cameras/{stored.event.source}").page
    assert camera.locator(".excepted-list li").count() == 1
    page.locator(".toast button").click()
    page.locator("#here[aria-pressed=false]").wait_for()
    assert store.get(stored.event.id).label is None
    assert exceptions.entries == ()
    page.locator("#here").click()
    page.locator("#here[aria-pressed=true]").wait_for()
    camera.reload()
    camera.locator("[data-remove]").click()
    camera.locator(".excepted-none").wait_for()
    assert exceptions.entries == ()
    assert store.get(stored.event.id).label == "normal"
