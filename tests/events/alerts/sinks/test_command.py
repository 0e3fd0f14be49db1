"""Messages to a program: as its standard input, without a shell, within its time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from msflow_stream.events.alerts.sinks.base import AlertMessage, Retry, SinkContext
from msflow_stream.events.alerts.sinks.command import Command
from msflow_stream.logs import Redactor
from tests.events.alerts.messages import a_message, settings
from tests.support.mqtt import until


def command(*words: str, timeout: float = 60.0) -> Command:
    context = SinkContext(redactor=Redactor(["sesame-sesame"], any_url=True))
    return Command(settings(type="command", command=words, timeout=timeout), context)


def test_the_program_reads_the_message(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    command(sys.executable, "-c", code, str(tmp_path / "$HOME; x")).write(a_message("open"))
    assert AlertMessage.read((tmp_path / "$HOME; x").read_text()) == a_message("open")


def test_a_program_need_not_read() -> None:
    command("true").write(a_message("open"))


def test_a_program_that_fails_is_tried_again_and_its_last_words_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    code = "import sys; sys.stderr.write('noise ' * 10000 + 'no sesame-sesame here'); sys.exit(3)"
    with pytest.raises(Retry, match="exit code 3"):
        command(sys.executable, "-c", code).write(a_message("open"))
    assert "no *** here" in caplog.text
    assert len(caplog.text) < 4000


def test_a_program_that_is_not_there_is_tried_again() -> None:
    with pytest.raises(Retry, match="No such file"):
        command("/nowhere/at-all").write(a_message("open"))


def test_a_program_that_does_not_end_is_ended_with_all_it_has_started(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/parent; wait"
    with pytest.raises(Retry, match="does not end within 1 s"):
        command("sh", "-c", script, timeout=1.0).write(a_message("open"))
    for who in ("child", "parent"):
        number = int((tmp_path / who).read_text())
        until(lambda number=number: not _runs(number))  # type: ignore[misc]


def test_what_a_program_leaves_running_does_not_hold_it_up() -> None:
    command("sh", "-c", "sleep 3 & exit 0", timeout=600.0).write(a_message("open"))


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)
        return ") Z " not in Path(f"/proc/{number}/stat").read_text()  # ended, and nobody has looked yet
    except (ProcessLookupError, FileNotFoundError):
        return False
