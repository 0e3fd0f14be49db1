"""Browsers beside a watch, measured: `python -m tests.web.load --minutes 10`.

A real watch over cameras that loop a clip, first without a browser, then with the console and several browsers, one of
them behind a slow line. Prints frames scored per second of both, how often each tile is repainted, and the memory of
the watch and of the console over time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from playwright.sync_api import Browser, Page
from rich.console import Console

from msflow_stream.config.loading import load
from pipelines.bench.real_watch import (
    MEBI,
    RealWatch,
    WatchMeasurement,
    cameras_showing,
    command_line,
    watching,
    write_cameras,
)
from pipelines.bench.soak import SMALL, _footage
from pipelines.fit import FitJob, fit
from tests.support.browser import browser
from tests.support.proxy import SlowProxy

SAMPLE, WARM_UP = 2.0, 20.0  # seconds
BROWSERS_NICE = 15
# Notes when each tile shows another image; called by what the page does itself, so nothing of it is changed.
COUNT_PAINTS = """
window.paints = {};
const noted = (image) => {
  const camera = image.closest("[data-camera]")?.dataset.camera;
  if (camera) (window.paints[camera] ??= []).push(performance.now());
};
new MutationObserver((all) => all.forEach((one) => noted(one.target)))
  .observe(document, { subtree: true, attributes: true, attributeFilter: ["src"] });
"""


class Measured(NamedTuple):
    """Frames scored per second, and frames dropped by cause."""

    rate: float
    drops: dict[str, float]


@dataclass(slots=True)
class Memory:
    """The resident memory of a process over time, in MiB."""

    pid: int
    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)

    def add(self, seconds: float) -> None:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        self.seconds.append(seconds)
        self.mib.append(pages * os.sysconf("SC_PAGE_SIZE") / MEBI)

    def slope(self) -> float:
        """MiB per minute, over the last two thirds of the time."""
        kept = len(self.seconds) // 3
        return float(np.polyfit(np.array(self.seconds[kept:]) / 60, self.mib[kept:], 1)[0])


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def console(out: Path, log: Path) -> Iterator[tuple[str, int]]:
    """The console in a process of its own; yields its address and process id."""
    with (
        log.open("w") as file,
        subprocess.Popen(command_line("console", "--out", out, "--http", "127.0.0.1:0"), stderr=file) as process,
    ):
        try:
            end = time.monotonic() + 60
            while "http://" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.1)
            yield "http://" + log.read_text().split("http://")[1].split()[0].rstrip("/"), process.pid
        finally:
            process.terminate()


def elsewhere() -> None:
    """Gives browsers less right to the processor than all else has: people's run on machines of their own."""
    for name in Path("/proc").glob("[0-9]*/task/[0-9]*/comm"):
        with suppress(OSError):
            process = name.parents[2] / "comm"
            if process.read_text().strip() in ("chromium", "chrome_crashpad"):
                os.setpriority(os.PRIO_PROCESS, int(name.parent.name), BROWSERS_NICE)


def opened(chromium: Browser, url: str) -> Page:
    """A wall in a window of its own."""
    page = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.add_init_script(COUNT_PAINTS)
    page.goto(url)
    return page


def measured(watch: RealWatch, seconds: float, pause: Callable[[], None], memories: Sequence[Memory] = ()) -> Measured:
    """Frames scored per second, and drops, over so many seconds."""
    samples, begin = [WatchMeasurement()], time.monotonic()
    samples[0].add(0.0, watch.metrics())
    last = WatchMeasurement()
    while (passed := time.monotonic() - begin) < seconds:
        pause()
        last.add(passed, watch.metrics())
        for one in memories:
            one.add(passed)
    rate = (last.total("scored") - samples[0].total("scored")) / (time.monotonic() - begin)
    drops = {cause: count - samples[0].drops().get(cause, 0) for cause, count in last.drops().items()}
    return Measured(rate, drops)


def intervals(page: Page) -> dict[str, list[float]]:
    """Seconds between repaints of each tile, and from the last one to now."""
    paints, now = page.evaluate("[window.paints, performance.now()]")
    return {camera: (np.diff([*times, now]) / 1000).tolist() for camera, times in paints.items()}


def report(name: str, page: Page) -> str:
    found = intervals(page)
    every = [one for times in found.values() for one in times]
    return (
        f"{name}: {len(found)} tiles, {sum(map(len, found.values()))} repaints; seconds between two of a tile: median "
        f"{np.median(every):.2f}, 99 % {np.quantile(every, 0.99):.2f}, most {max(every):.2f}"
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=9)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--alone", type=float, default=2.0, help="minutes without a browser, before and after")
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--slow", type=int, default=50, help="KB/s of the slow browser's line")
    parser.add_argument("--set", action="append", default=[], help="settings of the scene")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="load-") as name:
        folder = Path(name)
        clip = _footage(folder)
        fit([str(clip)], folder / "scenes" / "load", load(overrides=[*SMALL, *asked.set]), FitJob())
        names = [f"cam{i + 1:02d}" for i in range(asked.cameras)]
        with cameras_showing(clip) as port:
            write_cameras(folder / "cameras.yaml", port, names, {"scene": "load", "every": asked.every})
            with watching(folder / "cameras.yaml", folder / "scenes", folder) as watch:
                measure(watch, folder, asked)


def measure(watch: RealWatch, folder: Path, asked: argparse.Namespace) -> None:
    say = Console(soft_wrap=True).print
    sleep = partial(time.sleep, SAMPLE)
    time.sleep(WARM_UP)
    alone = measured(watch, asked.alone * 60, sleep)
    say(f"without a browser: {alone.rate:.2f} frames/s scored; dropped {alone.drops}")
    with (
        console(folder / "watched", folder / "console.log") as (url, pid),
        SlowProxy(int(url.rpartition(":")[2]), asked.slow * 1000) as line,
        browser() as chromium,
    ):
        pages = {f"fast browser {i}": opened(chromium, url) for i in (1, 2)}
        pages[f"browser at {asked.slow} KB/s"] = opened(chromium, f"http://127.0.0.1:{line.port}")
        first = pages["fast browser 1"]
        first.wait_for_timeout(WARM_UP * 1000)
        elsewhere()
        for page in pages.values():
            page.evaluate("window.paints = {}")
        memories = [Memory(watch.pid), Memory(pid)]
        used, begin = cpu_seconds(pid), time.monotonic()
        together = measured(watch, asked.minutes * 60, lambda: first.wait_for_timeout(SAMPLE * 1000), memories)
        used = (cpu_seconds(pid) - used) / (time.monotonic() - begin)
        for title, page in pages.items():
            say(report(title, page))
    more = together.rate / alone.rate - 1
    say(f"with three browsers: {together.rate:.2f} frames/s scored, {more:+.1%}; dropped {together.drops}")
    say(f"console: {used:.1%} of a core")
    for title, one in zip(("watch", "console"), memories, strict=True):
        say(f"memory of the {title}: {one.mib[0]:.0f} to {one.mib[-1]:.0f} MiB, {one.slope():+.2f} MiB/min at the end")
    say(f"without a browser again: {measured(watch, asked.alone * 60, sleep).rate:.2f} frames/s scored")


if __name__ == "__main__":
    main()
