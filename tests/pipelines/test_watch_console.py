"""The console beside a watch: it shows what is watched, and whatever becomes of it, the watch goes on."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from shutil import copytree
from typing import TypeVar
from urllib.request import urlopen

import cv2
import numpy as np
import pytest

from msflow_stream.types import UserError
from msflow_stream.web.watch_client import WatchAway, WatchClient
from tests.pipelines.conftest import Workplace
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.watching import SOON, Watching, until

T = TypeVar("T")


def asked(watch: Watching, ask: Callable[[WatchClient], Awaitable[T]]) -> T:
    async def answer() -> T:
        client = WatchClient(watch.out)
        try:
            return await ask(client)
        finally:
            await client.aclose()

    return asyncio.run(answer())


def consoles(watch: Watching) -> list[str]:
    """The addresses of the consoles so far."""
    return re.findall(r"console: (http://\S+)/", watch.said())


def child_of(watch: Watching) -> int:
    lists = Path(f"/proc/{watch.process.pid}/task").glob("*/children")
    (child,) = [int(pid) for children in lists for pid in children.read_text().split()]
    return child


def test_a_console_that_is_killed_costs_the_watch_nothing_and_begins_again(
    workplace: Workplace, tmp_path: Path
) -> None:
    need_server()
    scenes = tmp_path / "scenes"
    copytree(workplace.scenes / "gate", scenes / "gate")
    walkway = write_units(workplace.clips / "first.mp4", tmp_path / "first.units")
    with RtspCamera(walkway) as camera:
        cameras = {"gate": {"url": camera.url, "scene": "gate"}}
        with Watching(tmp_path, scenes, cameras, "--console", "--console-http", "127.0.0.1:0") as watch:
            until(lambda: consoles(watch), "the console does not begin")
            watch.wait_for_scores("gate")
            with urlopen(f"{consoles(watch)[0]}/healthz") as answer:
                assert answer.read() == b"ok\n"
            record = json.loads((watch.out / ".watch.json").read_text())
            assert record["pid"] == watch.process.pid
            assert stat.S_IMODE(Path(record["socket"]).stat().st_mode) == 0o600

            frame = asked(watch, lambda client: client.frame("gate", 160, after=0, wait=10))
            assert frame is not None
            image = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            assert image.shape == (64, 96, 3), "nothing is made larger than the camera gives it"
            newer = asked(watch, lambda client: client.frame("gate", 160, frame.facts["sequence"], wait=10))
            assert newer is not None
            assert newer.facts["sequence"] > frame.facts["sequence"]

            os.kill(child_of(watch), signal.SIGKILL)
            watch.wait_for_scores("gate")
            until(lambda: len(consoles(watch)) == 2, "the console does not begin again")
            with urlopen(f"{consoles(watch)[1]}/metrics") as answer:
                assert b"msflow_frames_delivered_total" in answer.read()

            threshold = asked(watch, WatchClient.report)["cameras"][0]["last"]["threshold"]
            raise_thresholds(scenes / "gate" / "scene.json", by=1.0)
            asked(watch, WatchClient.reload)
            watch.wait_for_scores("gate")
            report = asked(watch, WatchClient.report)
            assert report["cameras"][0]["last"]["threshold"] == pytest.approx(threshold + 1.0)
            watch.configure({"gate": {"url": camera.url, "scene": "gone"}})
            with pytest.raises(UserError, match="gone"):
                asked(watch, WatchClient.reload)
            assert any("the cameras stay as they are" in line["text"] for line in asked(watch, WatchClient.log))
            child = child_of(watch)
            assert watch.end(signal.SIGINT) < SOON
    assert watch.process.returncode == 0
    assert "Fatal" not in watch.said()
    until(lambda: not Path(f"/proc/{child}").exists(), "the console outlives the watch")
    with pytest.raises(WatchAway):
        asked(watch, WatchClient.report)


def raise_thresholds(path: Path, by: float) -> None:
    content = json.loads(path.read_text())
    thresholds = content["calibration"]["thresholds"]
    content["calibration"]["thresholds"] = {kind: value + by for kind, value in thresholds.items()}
    path.write_text(json.dumps(content))


def test_the_console_stays_when_all_files_have_been_watched(workplace: Workplace, tmp_path: Path) -> None:
    clip = str(workplace.clips / "first.mp4")
    options = ("--console", "--console-http", "127.0.0.1:0")
    with Watching(tmp_path, workplace.scenes, {"gate": {"url": clip, "scene": "gate"}}, *options) as watch:
        until(lambda: "others may be added" in watch.said(), "the clip does not end")
        until(lambda: consoles(watch), "the console does not begin")
        frame = asked(watch, lambda client: client.frame("gate", 160, after=0, wait=10))
        assert frame is not None, "the last frame is shown"
        with urlopen(f"{consoles(watch)[0]}/events") as answer:
            assert answer.status == 200
        assert watch.end(signal.SIGTERM) < SOON
    assert watch.process.returncode == 0
