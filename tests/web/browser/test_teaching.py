"""By clicks alone: an alarm is normal here, the scene learns it, is watched with as it is then, and goes back."""

from __future__ import annotations

import hashlib
import io
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from rich.console import Console

from msflow_stream.config.loading import load
from msflow_stream.datasets.synthetic import SyntheticScene, Violation
from msflow_stream.teaching.exceptions import Exceptions
from msflow_stream.teaching.versions import Versions
from msflow_stream.video.writing.video_writer import VideoWriter
from pipelines import packaged_config
from pipelines.fit import FitJob, fit
from tests.support.browser import DESKTOP, Watched
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.watching import Watching, until
from tests.web.browser.test_live import free_port

SIZE, RATE, CART = (128, 96), Fraction(5), Violation("cart", 2, 5)
LOOP = 8  # seconds
SMALL = ("input.size=[96,128]", "fit.passes=6", "fit.holdout=0.3", "score.every=1", "score.threshold=2.0")
TEACHING = {"wait": "1s", "shadow": "2s"}
PATIENCE = 240.0  # seconds: a worker has what others leave
SAME = 1e-3  # between scores of one frame, which depend a little on what else is in a batch

Scores = npt.NDArray[np.float64]


def clip(path: Path, seconds: float, traffic: int, *violations: Violation) -> Path:
    with VideoWriter(path, *SIZE, 1 / RATE, RATE, crf=18) as writer:
        for index, one in enumerate(SyntheticScene(*SIZE, RATE, 0, traffic).render(seconds, violations)):
            writer.write(one.image, index)
    return path


def content_of(scene: Path) -> dict[str, str]:
    """Hashes of all files of a scene by name."""
    files = [path for path in scene.rglob("*") if path.is_file()]
    return {str(path.relative_to(scene)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Rows:
    """The scores of a camera, from a moment on."""

    def __init__(self, watch: Watching) -> None:
        self._watch, self._first = watch, len(watch.rows("gate"))

    def of_a_loop(self) -> Scores:
        """The surprise of the frames of a loop or more, once they are there."""
        wanted = self._first + 3 + LOOP * 5
        until(lambda: len(self._watch.rows("gate")) >= wanted, "there are no scores", PATIENCE)
        return np.array([float(row["surprise"]) for row in self._watch.rows("gate")[self._first + 3 :]])


def share_known(found: Scores, known: Scores) -> float:
    """The share of scores that are among others."""
    return float((np.abs(found[:, None] - known[None]).min(1) < SAME * np.maximum(1, np.abs(found))).mean())


def press(page: Any, name: str) -> None:
    """Presses a button of a scene's page, and says yes."""
    page.get_by_role("button", name=name).first.click()
    with page.expect_navigation():
        page.locator("#confirm-yes").click()


@pytest.mark.long
def test_a_cart_is_normal_here_is_learnt_promoted_and_rolled_back(chromium: Any, tmp_path: Path) -> None:
    need_server()
    scenes, scene = tmp_path / "scenes", tmp_path / "scenes" / "gate"
    normal = clip(tmp_path / "normal.mp4", 60, 1)
    units = write_units(clip(tmp_path / "loop.mp4", LOOP, 2, CART), tmp_path / "loop.units")
    settings = load(packaged_config("demo"), SMALL)
    fit([str(normal)], scene, settings, FitJob(device="cpu"), Console(file=io.StringIO()))
    before = content_of(scene)
    options = ("--console", "--console-http", f"127.0.0.1:{free_port()}")
    context = chromium.new_context(viewport=DESKTOP)
    context.set_default_timeout(1000 * PATIENCE)
    with RtspCamera(units, rate=5) as camera:
        cameras = {"gate": {"url": camera.url, "scene": "gate", "every": 1}}
        with Watching(tmp_path, scenes, cameras, *options, teaching=TEACHING) as watch:
            found = until(
                lambda: re.search(r"console: (http://[^\s/]+)", watch.said()), "the console does not begin", PATIENCE
            )
            assert found is not None
            one = Watched(context.new_page(), found[1])
            page = one.page
            page.goto(f"{found[1]}/events", wait_until="load")
            until(lambda: page.locator("a.shot").count() or not page.reload(), "no event", PATIENCE, 1.0)
            page.locator("a.shot").first.click()
            page.locator("#going").wait_for(state="hidden")
            page.get_by_role("button", name="Normal here").click()
            page.locator("#here[aria-pressed=true]").wait_for()
            assert [entry.camera for entry in Exceptions(scene).entries] == ["gate"]
            live = Rows(watch).of_a_loop()
            page.goto(f"{found[1]}/scenes/gate", wait_until="load")
            page.get_by_role("button", name="Show it").click()  # by itself: there is a candidate now
            until(
                lambda: page.get_by_text("Frames that differ").count() or not page.reload(), "no shadow", PATIENCE, 2.0
            )
            assert "Normal events that still alarm: 0 of 1" in page.inner_text("body")
            press(page, "Promote")
            page.get_by_text("2 ● live").wait_for()
            promoted = Rows(watch).of_a_loop()
            assert share_known(promoted, live) < 0.5
            assert Exceptions(scene).entries == ()
            press(page, "Roll back to version 1")
            page.get_by_text("1 ● live").wait_for()
            assert content_of(scene) == before
            assert share_known(Rows(watch).of_a_loop(), live) == 1.0
            one.check()
            context.close()
    assert [(version.number, version.state) for version in Versions(scene).entries] == [(1, "live"), (2, "earlier")]
