"""Exit codes: each that the help lists, by a case of it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from docs.generated_pages import commands_page
from pipelines import doctor, weights
from pipelines.commands.app import EXIT_CODES
from tests.support.command import Command

Patch = pytest.MonkeyPatch


def is_done(command: Command, patch: Patch) -> int:
    return command("--version").code


def misses_something(command: Command, patch: Patch) -> int:
    Path("weights.bin").write_bytes(b"half of it")
    patch.setattr(doctor, "weights_file", lambda: Path("weights.bin"))
    patch.setattr(doctor, "written_per_second", lambda place: 1e9)
    return command("doctor").code


def can_be_mended(command: Command, patch: Patch) -> int:
    return command("scenes", "show", "nobody").code


def is_stopped(command: Command, patch: Patch) -> int:
    patch.setattr(weights, "cached", lambda: signal.raise_signal(signal.SIGINT))
    return command("weights", "list").code


CASES: dict[int, Callable[[Command, Patch], int]] = {
    0: is_done,
    1: misses_something,
    2: can_be_mended,
    130: is_stopped,
}


@pytest.mark.parametrize("code", EXIT_CODES)
def test_a_code_is_that_of_a_case(code: int, command: Command, home: Path, monkeypatch: Patch) -> None:
    assert CASES[code](command, monkeypatch) == code


def test_a_word_that_is_not_understood_is_a_mistake(command: Command) -> None:
    assert [command(*words).code for words in ([], ["fitt"], ["fit", "--nonsense"])] == [2, 2, 2]


def test_what_the_system_says_of_a_file_is_one_line(command: Command, home: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(weights, "cached", lambda: Path("/dev/full").write_text("more than nothing"))
    outcome = command("weights", "list")
    assert (outcome.code, outcome.err) == (2, "error: [Errno 28] No space left on device\n")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("form", ["table", "json", "tsv"])
def test_a_listing_that_nobody_reads_any_more_ends_in_silence(form: str, command: Command, monkeypatch: Patch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with suppress(BrokenPipeError), os.fdopen(writing, "w") as nobody, monkeypatch.context() as change:
        change.setattr(sys, "stdout", nobody)
        outcome = command("events", "list", "--format", form)
    assert (outcome.code, outcome.err) == (1, "")


def test_help_and_documentation_list_them(command: Command) -> None:
    said, page = command("--help").out, commands_page()
    assert all(f" {code}: {meaning.split()[0].replace('`', '')}" in said for code, meaning in EXIT_CODES.items())
    assert all(f"| {code} | {meaning} |" in page for code, meaning in EXIT_CODES.items())
