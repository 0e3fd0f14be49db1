"""NO_COLOR and TERM=dumb: not one escape sequence, whatever else asks for colours."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
import typer.rich_utils

from tests.support.command import Command

ESCAPE = "\x1b"
Shown = Callable[..., str]
CASES = {
    "help": ("fit", "--help"),
    "a wrong option": ("fit", "--nonsense"),
    "an error": ("scenes", "show", "nobody"),
    "a table": ("events", "list"),
    "a bar": ("scenes", "teach", "yard"),
    "a spinner": ("watch", "cameras.yaml", "--check"),
}


@pytest.fixture
def shown(command: Command, monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Runs a command with a terminal for its stdout and stderr, and returns what comes there."""

    def run(*words: str) -> str:
        keeper, terminal = pty.openpty()
        content = bytearray()

        def read() -> None:
            with suppress(OSError):  # the other end is closed
                while part := os.read(keeper, 4096):
                    content.extend(part)

        reader = Thread(target=read)
        reader.start()
        with os.fdopen(terminal, "w") as screen, monkeypatch.context() as change:
            change.setattr(sys, "stdout", screen)
            change.setattr(sys, "stderr", screen)
            command(*words)
        reader.join()
        os.close(keeper)
        return content.decode()

    return run


@pytest.fixture(autouse=True)
def colourful(home: object, refused: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that can do everything, and two files for commands to look at."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    Path("cameras.yaml").write_text("cameras: {gate: {url: nothing.mp4, scene: none}}\n")


@pytest.mark.parametrize("case", CASES)
def test_no_color_leaves_no_escape_sequence(case: str, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ESCAPE in shown(*CASES[case])  # or there were nothing to leave out
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shown(*CASES[case])
    assert plain
    assert ESCAPE not in plain
    assert os.environ["TERM"] == "xterm-256color"


@pytest.mark.parametrize("case", CASES)
def test_no_color_wins_over_force_color(
    case: str, shown: Shown, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typer.rich_utils, "FORCE_TERMINAL", True)  # as where FORCE_COLOR is set from the beginning
    monkeypatch.setenv("FORCE_COLOR", "1")
    loud = command(*CASES[case])
    assert ESCAPE in loud.out + loud.err
    monkeypatch.setenv("NO_COLOR", "1")
    quiet = command(*CASES[case])
    assert ESCAPE not in shown(*CASES[case]) + quiet.out + quiet.err


@pytest.mark.parametrize("case", CASES)
def test_a_dumb_terminal_gets_none(case: str, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert ESCAPE not in shown(*CASES[case])


def test_a_table_is_as_wide_as_without(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert max(map(len, shown("events", "list").splitlines())) > 150  # a dumb terminal has 80 columns


def test_an_empty_no_color_does_not_count(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    assert ESCAPE in shown(*CASES["an error"])
