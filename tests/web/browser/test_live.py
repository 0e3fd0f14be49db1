"""The live wall before a real watch of a real camera."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path
from shutil import copytree
from typing import Any

from tests.pipelines.conftest import Workplace
from tests.support.browser import DESKTOP, Watched
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.watching import Watching, until

COUNT = """() => {
  window.__painted = 0;
  const image = document.querySelector('[data-camera="gate"] img');
  new MutationObserver(() => { window.__painted += 1; }).observe(image, { attributes: true, attributeFilter: ["src"] });
}"""
GONE = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "WebSocket connection", "503")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def child_of(pid: int) -> int | None:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(one) for children in lists for one in children.read_text().split()]
    return children[0] if children else None


def repaints(page: Any, more: int) -> None:
    """Returns once the tile has been painted so many times more."""
    before = page.evaluate("window.__painted")
    until(lambda: page.evaluate("window.__painted") >= before + more, f"not {more} repaints", 60)


def test_the_wall_is_live_and_outlives_its_console(chromium: Any, workplace: Workplace, tmp_path: Path) -> None:
    need_server()
    scenes = tmp_path / "scenes"
    copytree(workplace.scenes / "gate", scenes / "gate")
    units, port = write_units(workplace.clips / "first.mp4", tmp_path / "first.units"), free_port()
    with RtspCamera(units) as camera:
        cameras = {"gate": {"url": camera.url, "scene": "gate"}}
        options = ("--console", "--console-http", f"127.0.0.1:{port}")
        with Watching(tmp_path, scenes, cameras, *options) as watch:
            url = until(lambda: re.search(r"console: (http://[^\s/]+)", watch.said()), "the console does not begin")
            assert url is not None
            watch.wait_for_scores("gate")
            context = chromium.new_context(viewport=DESKTOP)
            one = Watched(context.new_page(), url[1])
            one.page.goto(url[1], wait_until="load")
            one.page.evaluate(COUNT)
            repaints(one.page, 3)
            console = child_of(watch.process.pid)
            assert console is not None
            os.kill(console, signal.SIGKILL)
            watch.wait_for_scores("gate")
            until(lambda: child_of(watch.process.pid) not in (None, console), "the console does not begin again")
            repaints(one.page, 2)  # by itself
            one.check(allowed=GONE)
            context.close()
            watch.end()
            assert [sum(tally.lost.values()) for tally in watch.tallies("gate")] == [0]
