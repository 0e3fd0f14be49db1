"""Commands and Python of README and the pages by task, run one after another as a reader would, on synthetic footage.

Every command of these pages is run, but for those in `ELSEWHERE`, which say why not. Only names that cannot be had are
replaced: the address of the camera, the id of an event; and recordings are made shorter.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from msflow_stream.datasets.synthetic import default_violations
from msflow_stream.events.store import EventStore
from pipelines.demo import make_clip
from pipelines.terminal.progress import progress
from tests.docs.code_blocks import Block, commands, fenced
from tests.support.campus import write_campus
from tests.support.data import REPOSITORY
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.watching import until

pytestmark = pytest.mark.long

PAGES = (
    "README",
    "docs/fit",
    "docs/score",
    "docs/engines",
    "docs/watch",
    "docs/events",
    "docs/evaluate",
    "docs/console",
)
ELSEWHERE = {
    r"^(pip|uv|docker|make) ": "installs, or is the demo or these tests: tests/test_package.py",
    r"^cp ": "would replace the cameras file",
    r"evaluate mvtec|ablate": "wants data sets and weights of others: tests/pipelines/test_evaluate.py",
    r"^msflow-stream evaluate mstc": "the tree that build-mstc makes here is too small for the settings of the paper",
    r"weights |model\.weights|import-checkpoint": "wants weights that are downloaded: tests/pipelines/test_weights.py",
    r"--tensorboard|--masks|--scenes-from": "tests/pipelines/test_fit.py and test_score.py",
    r"^msflow-stream (bench|info|doctor|demo)": "takes minutes, or has tests of its own",
    r"--http 0\.0\.0\.0": "would serve to others",
}
SECONDS = 24.0
SERVES = re.compile(r"^msflow-stream (watch (?!.*--check)|console (?!user))")
SHORTER = (("--for 30m", "--for 20s"), ("--duration 60", "--duration 5"))


class Reader:
    """A reader's folder, with footage, a camera, and the command."""

    def __init__(self, folder: Path, camera: RtspCamera) -> None:
        self.folder, self._camera = folder, camera
        programs = folder / "bin"
        programs.mkdir()
        program = programs / "msflow-stream"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipelines.commands.app "$@"\n')
        program.chmod(0o755)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("MSFLOW_")} | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "GATE_PASSWORD": "secret",
        }

    def runs(self, block: Block) -> None:
        """Runs a command, as it stands there; a server until it serves."""
        line = self._here(block.text)
        if SERVES.match(line):
            self._serves(line)
            return
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self._environment, input="a long password\n",
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}: {line}\n{done.stdout}{done.stderr}"

    def makes_room(self, text: str) -> None:
        """Removes what another page has written where this one writes."""
        if text.startswith("msflow-stream score"):
            shutil.rmtree(self.folder / "runs", ignore_errors=True)
        if (text.startswith("msflow-stream fit") and "--resume" not in text) or "save=" in text:
            shutil.rmtree(self.folder / "scenes" / "gate", ignore_errors=True)

    def computes(self, block: Block) -> None:
        """Runs a piece of Python."""
        environment = self._environment | {"MPLBACKEND": "agg"}
        done = subprocess.run(
            [sys.executable, "-c", block.text],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"

    def _serves(self, line: str) -> None:
        begun = time.time()
        with (self.folder / "said").open("w+") as said:
            process = subprocess.Popen(
                shlex.split(line), cwd=self.folder, env=self._environment, stdout=said, stderr=subprocess.STDOUT
            )
            try:
                until(lambda: process.poll() is not None or self._has_begun(line, begun), f"{line} does not begin", 120)
                assert process.poll() is None, (self.folder / "said").read_text()
            finally:
                process.send_signal(signal.SIGINT)
                code = process.wait(60)
        assert code in (0, 130), (self.folder / "said").read_text()

    def _has_begun(self, line: str, begun: float) -> bool:
        if "--console" not in line and not line.startswith("msflow-stream console"):
            scores = self.folder / "watched" / "gate" / "scores.csv"
            return scores.exists() and scores.stat().st_mtime > begun and self.event() is not None
        try:
            with closing(urlopen("http://127.0.0.1:9841/", timeout=5)) as page:
                return page.status == 200
        except OSError:
            return False

    def event(self) -> str | None:
        """The id of the newest event of the watch that has its end."""
        if not (self.folder / "watched" / "events.db").exists():
            return None
        with EventStore(f"sqlite:///{self.folder / 'watched' / 'events.db'}") as store:
            store.open()
            return next((found.event.id for found in store.find() if found.event.end_wall is not None), None)

    def _here(self, text: str) -> str:
        text = re.sub(r"rtsp://camera/stream", self._camera.url, text)
        if re.search(r"gate-\d{8}T\d{6}", text):
            text = re.sub(r"gate-\d{8}T\d{6}", self.event() or "", text)
        for long, short in SHORTER:
            text = text.replace(long, short)
        return text


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    need_server()
    folder = tmp_path_factory.mktemp("reader")
    for name in ("labels", "masks", "clips", "more-footage"):
        (folder / name).mkdir()
    with progress(quiet=True) as bars:
        make_clip(folder, "normal", SECONDS, (), 0, 1, bars)
        make_clip(folder, "today", SECONDS, default_violations(SECONDS), 0, 2, bars)
    shutil.copy(folder / "normal.mp4", folder / "more-footage" / "more.mp4")
    shutil.copy(folder / "normal.mp4", folder / "sunday.mp4")
    shutil.copy(folder / "today.mp4", folder / "clips" / "today.mp4")
    write_campus(folder / "shanghaitech")
    with RtspCamera(write_units(folder / "today.mp4", folder / "units")) as camera:
        (block,) = [one for one in fenced(REPOSITORY / "README.md") if one.language == "yaml"]
        url = re.search(r"url: (\S+)", block.text)
        assert url is not None
        (folder / "cameras.yaml").write_text(block.text.replace(url[1], camera.url))
        yield Reader(folder, camera)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_one_after_another(reader: Reader, page: str) -> None:
    for block in commands(REPOSITORY / f"{page}.md"):
        line = block.page.read_text().splitlines()[block.line - 1]
        if line.startswith("    ") and not any(re.search(pattern, block.text) for pattern in ELSEWHERE):
            reader.makes_room(block.text)
            reader.runs(block)


def test_the_python_of_the_pages_runs(reader: Reader) -> None:
    for block in fenced(REPOSITORY / "docs" / "python.md"):
        if block.language == "python":
            reader.makes_room(block.text)
            reader.computes(block)
