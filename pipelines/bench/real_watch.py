"""The real `watch` over looping cameras, in processes of their own, measured from outside by its own metrics."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import yaml
from prometheus_client.parser import text_string_to_metric_families

from msflow_stream.types import UserError

COMMANDS = f"{__package__.removesuffix('.bench')}.commands.app"  # as a module, whatever the package is below
WARM_UP = 0.2  # of the time, in which caches fill; no slope is taken over it
START_SECONDS, STOP_SECONDS = 120.0, 15.0
MEBI = 2**20


def command_line(*arguments: object) -> list[str]:
    """Returns what runs the program with these arguments."""
    return [sys.executable, "-m", COMMANDS, *map(str, arguments)]


@dataclass(slots=True)
class WatchMeasurement:
    """The metrics of a watch over time: seconds, bytes, and per camera the seconds behind live."""

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


@contextmanager
def cameras_showing(clip: Path) -> Iterator[int]:
    """The cameras, in a process of their own so that they do not count as the watch's; yields their port."""
    command = [sys.executable, "-m", f"{__package__}.looping_cameras", str(clip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def write_cameras(path: Path, port: int, names: Sequence[str], settings: Mapping[str, object]) -> None:
    """Writes a cameras file of these cameras, which all have the same settings."""
    listed = {name: {"url": f"http://127.0.0.1:{port}/{name}", **settings} for name in names}
    path.write_text(yaml.safe_dump({"cameras": listed}), encoding="utf-8")


class RealWatch:
    """A watch that runs in a process of its own.

    Args:
        process: the watch.
        log: the file that its log goes to.
        seconds: how long it may take to begin.

    Raises:
        UserError: it does not start in time, or ends early.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path, seconds: float = START_SECONDS) -> None:
        self._process, self._log = process, log
        self._url = self._address(seconds)

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def metrics(self) -> str:
        """Returns its metrics of this moment.

        Raises:
            UserError: it has ended.
        """
        self._check()
        with urlopen(self._url, timeout=10) as answer:
            return str(answer.read().decode())

    def stop(self) -> float:
        """Stops it as a person would, and returns the seconds that it took."""
        begin = time.monotonic()
        self._process.terminate()
        self._process.wait(STOP_SECONDS)
        return time.monotonic() - begin

    def _address(self, seconds: float) -> str:
        """The address of the metrics, once the watch says it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._check()
            for line in self._log.read_text(encoding="utf-8").splitlines():
                if "metrics and health: " in line:
                    return line.rpartition(" ")[2].rstrip("/") + "/metrics"
            time.sleep(0.1)
        raise UserError(f"the watch did not start within {seconds:g} s")

    def _check(self) -> None:
        if self._process.poll() is not None:
            raise UserError(f"the watch ended by itself: {last_line(self._log)}")


@contextmanager
def watching(config: Path, scenes: Path, folder: Path, *options: object) -> Iterator[RealWatch]:
    """Runs `watch` over a cameras file, with its output and its log in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "watch.log"
    command = command_line("watch", config, "--scenes", scenes, "--out", folder / "watched", *options)
    command += ["--http", "127.0.0.1:0", "--log", "text", "--no-table"]
    with log.open("w") as file, subprocess.Popen(command, stderr=file) as process:
        try:
            yield RealWatch(process, log)
        finally:
            process.kill()


def last_line(log: Path) -> str:
    """Returns the last line that a process said."""
    return (log.read_text(encoding="utf-8").splitlines() or ["without a word"])[-1]
