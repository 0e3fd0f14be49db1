"""`bench soak`: many cameras watched for minutes by the real program, measured from outside by its own metrics."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import yaml
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import Progress

from msflow_stream.config.loading import load
from msflow_stream.datasets.synthetic import SyntheticScene
from msflow_stream.files import write_json
from msflow_stream.types import UserError
from msflow_stream.video.writing.video_writer import VideoWriter

from ..fit import FitJob, fit
from ..terminal.progress import number, table

COMMANDS = f"{__package__.removesuffix('.bench')}.commands.app"  # as a module, whatever the package is below
SIZE, RATE, CLIP_SECONDS, FIT_SECONDS = (640, 360), Fraction(25), 10, 8
SMALL = ("input.size=[128,192]", "model.weights=random", "fit.passes=1", "model.blocks=[1,2,2]")  # a scene for 2 cores
SAMPLE_SECONDS = 2.0
WARM_UP = 0.2  # of the time, in which caches fill; no slope is taken over it
START_SECONDS, STOP_SECONDS = 60.0, 15.0
MEBI = 2**20


@dataclass(slots=True)
class SoakMeasurement:
    """The metrics over time: seconds, bytes, and per camera the seconds behind live."""

    times: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    lags: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    totals: dict[str, float] = field(default_factory=dict)  # by name and, for drops, cause: the last values

    def add(self, seconds: float, text: str) -> None:
        """Notes one answer of /metrics."""
        totals: dict[str, float] = defaultdict(float)
        self.times.append(seconds)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "process_resident_memory_bytes":
                    self.memory.append(sample.value)
                elif sample.name == "msflow_camera_lag_seconds":
                    self.lags[sample.labels["camera"]].append(sample.value)
                elif sample.name in ("msflow_frames_dropped_total", "msflow_sink_lost_total"):
                    totals[f"{sample.name} {sample.labels['cause']}"] += sample.value
                elif sample.name.startswith("msflow_frames_") or sample.name == "msflow_reconnects_total":
                    totals[sample.name] += sample.value
        self.totals = dict(totals)

    def slope(self) -> float | None:
        """MiB per minute after the warm-up, by least squares; None where there is too little to tell."""
        start = WARM_UP * self.times[-1]
        kept = [(at, used) for at, used in zip(self.times, self.memory, strict=True) if at >= start]
        if len(kept) < 3:
            return None
        at, used = np.array(kept).T
        return float(np.polyfit(at / 60, used / MEBI, 1)[0])

    def worst_lag(self) -> dict[str, float]:
        """Per camera, the most seconds behind live after the warm-up."""
        skipped = int(len(self.times) * WARM_UP)
        return {camera: max(lags[skipped:] or lags) for camera, lags in self.lags.items()}

    def total(self, name: str) -> float:
        """The last value over all cameras."""
        return self.totals.get(f"msflow_frames_{name}_total", 0.0)

    def drops(self) -> dict[str, float]:
        """Frames that came in and were not delivered, by cause."""
        first = "msflow_frames_dropped_total "
        return {name.removeprefix(first): count for name, count in self.totals.items() if name.startswith(first)}


def bench_soak(
    cameras: int, minutes: float, every: int, set_: Sequence[str], out: Path | None, console: Console | None = None
) -> SoakMeasurement:
    """Prints memory, drops by cause and lag of a watch over so many cameras and minutes.

    Raises:
        UserError: the watch does not start, or ends early.
    """
    console = console or Console()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        clip = _footage(folder)
        fit([str(clip)], folder / "scenes" / "soak", load(overrides=[*SMALL, *set_]), FitJob())
        with _serving(clip) as port:
            config = folder / "cameras.yaml"
            names = [f"cam{i + 1:02d}" for i in range(cameras)]
            listed = {one: {"url": f"http://127.0.0.1:{port}/{one}", "scene": "soak", "every": every} for one in names}
            config.write_text(yaml.safe_dump({"cameras": listed}), encoding="utf-8")
            measured, stopped = _watch(config, folder, minutes * 60)
    _print(console, measured, cameras, minutes, stopped)
    if out is not None:
        write_json(out, _record(measured, cameras, minutes, stopped))
    return measured


def _footage(folder: Path) -> Path:
    scene = SyntheticScene(*SIZE, RATE, seed=0, traffic_seed=0)
    with VideoWriter(folder / "clip.mp4", *SIZE, 1 / RATE, RATE) as writer:
        for frame in scene.render(CLIP_SECONDS, ()):
            writer.write(frame.image, frame.index)
    return folder / "clip.mp4"


@contextmanager
def _serving(clip: Path) -> Iterator[int]:
    """The cameras, in a process of their own so that they do not count as the watch's; yields their port."""
    command = [sys.executable, "-m", f"{__package__}.looping_cameras", str(clip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _watch(config: Path, folder: Path, seconds: float) -> tuple[SoakMeasurement, float]:
    """Runs the watch for so long; returns what was measured, and the seconds that stopping took."""
    log = folder / "watch.log"
    command = [sys.executable, "-m", COMMANDS, "watch", str(config), "--scenes", str(folder / "scenes")]
    command += ["--out", str(folder / "watched"), "--http", "127.0.0.1:0", "--log", "text", "--no-table"]
    with log.open("w") as file, subprocess.Popen(command, stderr=file) as process:
        try:
            url = _address(process, log)
            measured = _measure(process, url, seconds, log)
            begin = time.monotonic()
            process.terminate()
            process.wait(STOP_SECONDS)
            return measured, time.monotonic() - begin
        finally:
            process.kill()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Returns the address of the metrics, once the watch says it."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        _check(process, log)
        for line in log.read_text(encoding="utf-8").splitlines():
            if "metrics and health: " in line:
                return line.rpartition(" ")[2].rstrip("/") + "/metrics"
        time.sleep(0.1)
    raise UserError(f"the watch did not start within {START_SECONDS:g} s")


def _check(process: subprocess.Popen[bytes], log: Path) -> None:
    if process.poll() is not None:
        last = (log.read_text(encoding="utf-8").splitlines() or ["without a word"])[-1]
        raise UserError(f"the watch ended by itself: {last}")


def _measure(process: subprocess.Popen[bytes], url: str, seconds: float, log: Path) -> SoakMeasurement:
    measured, begin = SoakMeasurement(), time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("watching", total=seconds)
        while (passed := time.monotonic() - begin) < seconds:
            time.sleep(min(SAMPLE_SECONDS, max(0.05, seconds - passed)))
            _check(process, log)
            with urlopen(url, timeout=10) as answer:
                measured.add(time.monotonic() - begin, answer.read().decode())
            bars.update(task, completed=passed)
    return measured


def _print(console: Console, measured: SoakMeasurement, cameras: int, minutes: float, stopped: float) -> None:
    sampled, delivered = measured.total("sampled"), measured.total("delivered")
    drops = measured.drops()
    lags = measured.worst_lag()
    rows = [
        ["memory at the end", f"{measured.memory[-1] / MEBI:.0f} MiB"],
        ["memory slope after warm-up", f"{number(measured.slope(), 2)} MiB/min"],
        ["frames read", f"{measured.total('read'):.0f}"],
        ["frames sampled", f"{sampled:.0f}"],
        ["frames scored and delivered", f"{delivered:.0f} ({delivered / measured.times[-1]:.1f}/s)"],
        *([f"dropped: {cause}", f"{count:.0f}"] for cause, count in drops.items()),
        ["neither delivered nor dropped yet", f"{sampled - delivered - sum(drops.values()):.0f}"],
        ["most seconds behind live, any camera", f"{max(lags.values()):.2f} s" if lags else "–"],
        ["time to stop", f"{stopped:.1f} s"],
    ]
    console.print(table(f"{cameras} cameras, {minutes:g} minutes", ["", "measured"], rows))


def _record(measured: SoakMeasurement, cameras: int, minutes: float, stopped: float) -> dict[str, object]:
    return {
        "cameras": cameras,
        "minutes": minutes,
        "memory_slope_mib_per_minute": measured.slope(),
        "memory_mib": [round(one / MEBI, 2) for one in measured.memory],
        "seconds": [round(one, 2) for one in measured.times],
        "totals": measured.totals,
        "worst_lag_seconds": measured.worst_lag(),
        "stop_seconds": stopped,
    }
