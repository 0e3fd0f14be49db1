"""`msflow-stream watch` in a process of its own, as a service runs it: asked by its metrics, told by signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

import yaml
from prometheus_client.parser import text_string_to_metric_families

import cli
from msflow_stream.watch.outputs.segments import segments
from tests.support.prepared import Forked, prepared

PATIENCE = 90.0  # seconds; machines that test can be very slow
SOON = 30.0  # seconds, after which a process that was told to end has ended, on such a machine too
TALLY = r"{}: (\d+) frames came in, (\d+) delivered, (\d+) dropped(?: \([^)]*\))?(?:; not kept: (.*))?"


class Tally(NamedTuple):
    """What became of a camera's frames so far; `lost` is what could not be written since it began, by "sink:cause"."""

    taken: int
    delivered: int
    dropped: int
    lost: Mapping[str, int]

    def lost_by(self, sink: str) -> int:
        return sum(count for name, count in self.lost.items() if name.startswith(f"{sink}:"))


class Watching:
    """A watch over these cameras. A context manager; killed at the end if it still runs.

    Attributes:
        out: what it writes to.
        config: its cameras file.
        log: what it said, on stderr.
    """

    def __init__(
        self,
        folder: Path,
        scenes: Path,
        cameras: Mapping[str, Mapping[str, Any]],
        *options: str,
        by_command: bool = False,
        **others: Any,
    ) -> None:
        """Prepares.

        Args:
            by_command: it is started as a service starts it; else as a fork of a process that has imported it.
            others: further parts of the cameras file, such as `alerts`.
        """
        self.out, self.config, self.log = folder / "watched", folder / "cameras.yaml", folder / "watch.log"
        self._scenes, self._options, self._others = scenes, options, others
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._by_command = by_command
        self._url = ""
        self.configure(cameras)

    def configure(self, cameras: Mapping[str, Mapping[str, Any]]) -> None:
        """Writes the cameras file."""
        self.config.write_text(yaml.safe_dump({**self._others, "cameras": dict(cameras)}), encoding="utf-8")

    def start(self) -> None:
        """Returns once its metrics can be asked for."""
        arguments = ["watch", str(self.config), "--scenes", str(self._scenes), "--out", str(self.out)]
        arguments += ["--http", "127.0.0.1:0", "--device", "cpu", *self._options]
        said = len(self.said())
        with self.log.open("a") as file:
            if self._by_command:
                self._process = subprocess.Popen([sys.executable, cli.__file__, *arguments], stdout=file, stderr=file)
            else:
                self._process = prepared().begin(arguments, file)
        until(lambda: "metrics and health: " in self.said()[said:] or self._ended(), "the watch does not start")
        assert not self._ended(), self.said()
        line = next(line for line in self.said()[said:].splitlines() if "metrics and health: " in line)
        self._url = line.partition("metrics and health: ")[2].split('"')[0].strip()

    def said(self) -> str:
        """The whole log so far."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def _ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def process(self) -> subprocess.Popen[bytes] | Forked:
        """The running one, or the last one that ran."""
        assert self._process is not None
        return self._process

    def page(self, name: str) -> str:
        """An HTTP answer, whatever its status."""
        try:
            with urlopen(self._url + name, timeout=30) as answer:
                return str(answer.read().decode())
        except URLError as error:
            if hasattr(error, "read"):
                return str(error.read().decode())
            raise

    def metric(self, name: str, **labels: str) -> float:
        """The value of one metric; 0 where there is none yet."""
        return next(self._values(name, labels), 0.0)

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over the labels that are not given."""
        return sum(self._values(name, labels))

    def _values(self, name: str, labels: Mapping[str, str]) -> Iterator[float]:
        lines = [line for line in self.page("metrics").splitlines() if line.startswith(name)]
        for family in text_string_to_metric_families("\n".join([*lines, ""])):  # to parse all takes many times as long
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    yield float(sample.value)

    def wait_for(self, name: str, least: float = 1.0, **labels: str) -> float:
        """Waits until a metric is at least that."""
        return until(
            lambda: (value := self.metric(name, **labels)) >= least and value, f"{name} {labels} stays below {least}"
        )

    def wait_for_state(self, camera: str, state: str) -> None:
        """Waits until a camera is in this state."""
        self.wait_for("msflow_camera_state", camera=camera, state=state)

    def wait_for_fault(self, camera: str, fault: str) -> None:
        """Waits until this is a camera's trouble."""
        self.wait_for("msflow_camera_fault", camera=camera, fault=fault)

    def wait_for_scores(self, camera: str, more: int = 3) -> None:
        """Waits until so many more frames of a camera are scored and delivered."""
        before = self.metric("msflow_frames_delivered_total", camera=camera)
        self.wait_for("msflow_frames_delivered_total", before + more, camera=camera)

    def rows(self, camera: str) -> list[dict[str, str]]:
        """The whole lines of a camera's scores.csv."""
        path = self.out / camera / "scores.csv"
        if not path.exists():
            return []
        lines = path.read_text().split("\n")[:-1]
        return [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]

    def indices(self, camera: str) -> list[int]:
        """The indices of its scored frames, which rise."""
        indices = [int(row["index"]) for row in self.rows(camera)]
        assert indices == sorted(set(indices))
        return indices

    def recordings(self, camera: str) -> list[Path]:
        """Its recordings, the oldest first."""
        folder = self.out / camera / "recordings"
        return [segment.path for segment in segments(folder)] if folder.exists() else []

    def tallies(self, camera: str) -> list[Tally]:
        """What it says became of a camera's frames, each time that it has finished what it wrote of it."""
        said = re.findall(TALLY.format(re.escape(camera)), self.said())
        return [Tally(int(came), int(sent), int(gone), dict(_counted(lost))) for came, sent, gone, lost in said]

    def reload(self) -> None:
        """Asks it to read its cameras file again, and waits until it has."""
        before = self.total("msflow_config_reloads_total")
        self.process.send_signal(signal.SIGHUP)
        until(lambda: self.total("msflow_config_reloads_total") > before, "the cameras file is not read again")

    @property
    def children(self) -> list[int]:
        """The processes that it has begun."""
        lists = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for children in lists for pid in children.read_text().split()]

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Work in the background gets its share of the cores, and stands still for nobody.

        On a machine that tests, who is the last in line, and waits while cameras are late, waits for minutes.
        """
        over = Event()
        thread = Thread(target=self._hurry, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _hurry(self, over: Event) -> None:
        while not over.wait(0.5):
            with suppress(OSError, AssertionError):  # it has ended, or has not begun, or may not be hurried
                for child in self.children:
                    os.kill(child, signal.SIGCONT)
                    for task in Path(f"/proc/{child}/task").iterdir():
                        os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
                        os.setpriority(os.PRIO_PROCESS, int(task.name), 0)

    def end(self, number: int = signal.SIGTERM, within: float = PATIENCE) -> float:
        """Sends a signal and waits for the end; returns the seconds that took."""
        begin = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(within)
        return time.monotonic() - begin

    def __enter__(self) -> Watching:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and not self._ended():
            self._process.kill()
            self._process.wait()


def _counted(text: str) -> Iterator[tuple[str, int]]:
    for count, name in re.findall(r"(\d+) ([a-z]+:[a-z]+)", text):
        yield name, int(count)


T = TypeVar("T")


def until(true: Callable[[], T], otherwise: str, patience: float = PATIENCE, pause: float = 0.1) -> T:
    """Waits until something is true, and returns it; asks again after so many seconds."""
    end = time.monotonic() + patience
    while not (value := true()):
        assert time.monotonic() < end, otherwise
        time.sleep(pause)
    return value
