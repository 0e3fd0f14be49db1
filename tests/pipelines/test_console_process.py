"""The console as the child of a watch: begun again when it ends, never in its way, gone when it is."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from msflow_stream.config.cameras import Backoff
from msflow_stream.types import UserError
from pipelines import console_process
from pipelines.console_process import ConsoleProcess, check_installed
from tests.support.command import Command
from tests.support.data import REPOSITORY
from tests.support.watching import until

STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('up', file=sys.stderr, flush=True); time.sleep(60)"
)
ENDS = "import os, sys; print(f'began {os.getpid()}', file=sys.stderr, flush=True); sys.exit(3)"
WAITS = "import os, sys; print(f'began {os.getpid()}', file=sys.stderr, flush=True); sys.stdin.read()"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(console_process, "BACKOFF", Backoff(first=0.01, ceiling=0.05))
    caplog.set_level(logging.INFO, "pipelines.console_process")


def child(out: Path, script: str) -> ConsoleProcess:
    return ConsoleProcess(out, ("127.0.0.1", 0), "sqlite://", [sys.executable, "-c", script])


def began(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [int(pid) for pid in re.findall(r"began (\d+)", caplog.text)]


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_one_that_ends_begins_again_and_its_log_is_ours(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with child(tmp_path, ENDS):
        until(lambda: len(began(caplog)) >= 3, "it does not begin again")
    assert len(set(began(caplog))) == len(began(caplog))
    assert "the console has ended (exit code 3); it begins again in" in caplog.text
    assert all(record.name == "pipelines.console_process" for record in caplog.records)


def test_what_it_logs_keeps_its_level_and_its_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [
        {"level": "ERROR", "message": "/events cannot be answered", "exc_info": "Traceback\nValueError"},
        {"level": "INFO", "message": "console: http://127.0.0.1:9841/"},
    ]
    script = (
        f"import sys; sys.stderr.write({chr(10).join(map(json.dumps, lines))!r}); sys.stderr.write('\\nno JSON\\n')"
    )
    with child(tmp_path, script):
        until(lambda: "no JSON" in caplog.text, "it says nothing")
    said = [(record.levelname, record.getMessage()) for record in caplog.records[:3]]
    assert said == [
        ("ERROR", "console: /events cannot be answered\nTraceback\nValueError"),
        ("INFO", "console: http://127.0.0.1:9841/"),
        ("WARNING", "console: no JSON"),
    ]


def test_it_ends_with_the_watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with child(tmp_path, WAITS):
        until(lambda: began(caplog), "it does not begin")
        (pid,) = began(caplog)
        assert os.getpgid(pid) != os.getpgid(0), "Ctrl-C in a terminal is for the watch alone"
    assert not is_there(pid)
    assert "it begins again" not in caplog.text


def test_one_that_does_not_want_to_end_is_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_process, "CLOSE_SECONDS", 0.2)
    with child(tmp_path, STUBBORN) as one:
        until(lambda: "up" in caplog.text, "it does not begin")
        assert one._process is not None
        pid = one._process.pid
    until(lambda: not is_there(pid), "it stays")


def test_a_program_that_is_not_there_costs_the_watch_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ConsoleProcess(tmp_path, ("127.0.0.1", 0), "sqlite://", ["/nowhere/python"]):
        until(lambda: caplog.text.count("the console cannot begin") > 1, "it is not tried")


def test_the_real_one_ends_with_a_watch_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "cli.py", "console", "--out", str(tmp_path), "--http", "127.0.0.1:0", "--attached"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY, process_group=0
    ) as process:
        assert process.stderr is not None
        assert process.stdin is not None
        values = json.loads(process.stderr.readline())
        assert re.fullmatch(r"console: http://127\.0\.0\.1:\d+/", values["message"])
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--http", "9841"], "--http takes HOST:PORT"),
        (["--http", "off"], "--http takes HOST:PORT"),
        (["--http", "203.0.113.7:0"], "first add a user"),
        (["--prefix", "cameras"], "--prefix takes a path such as /cameras"),
        (["--prefix", '/"><script>'], "--prefix takes a path such as /cameras"),
        (["--cameras", "nowhere.yaml"], "nowhere.yaml"),
        (["--store", "mysql://a/b"], "no address of an event store"),
        (["--out", "nowhere"], "no folder that a watch has written to"),
    ],
)
def test_a_mistake_is_one_line(command: Command, tmp_path: Path, arguments: list[str], said: str) -> None:
    outcome = command("console", "--out", tmp_path, *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_a_package_that_is_missing_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_process, "NEEDED", "no_such_package")
    with pytest.raises(UserError, match=r"pip install 'msflow-stream\[web\]'"):
        check_installed()
