"""--quiet: no bars and no summaries; listings, warnings and errors all the same."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from pipelines.terminal.consoles import be_quiet, is_quiet, silence
from pipelines.terminal.log_setup import logged
from tests.pipelines.commands.tree import commands
from tests.support.command import Command

LABEL = ("events", "label", "gate-2", "normal")
TEACH = ("scenes", "teach", "yard")


@pytest.mark.parametrize("name", commands())
def test_every_command_takes_quiet(name: str) -> None:
    named = [option for one in commands()[name].params for option in one.opts]
    assert (named.count("--quiet"), named.count("-q")) == (1, 1)


@pytest.mark.parametrize("words", [("-q", *LABEL), (*LABEL, "-q"), ("events", "--quiet", *LABEL[1:])])
@pytest.mark.usefixtures("home")
def test_what_was_done_is_not_said_wherever_quiet_stands(words: tuple[str, ...], command: Command) -> None:
    assert command(*words) == (0, "", "")
    assert command(*LABEL).out == "gate-2 is labelled normal\n"  # the next one is as it was


@pytest.mark.usefixtures("home")
def test_a_command_that_is_not_understood_leaves_the_next_as_it_was(command: Command) -> None:
    assert command("events", "list", "-q", "--limit", "0").code == 2
    assert command(*LABEL).out


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("words", ["events list", "events show gate-1", "scenes history yard", "console user list"])
def test_a_listing_is_shown_all_the_same(words: str, command: Command) -> None:
    loud = command(*words.split())
    assert loud.out
    assert command(*words.split(), "--quiet") == loud


@pytest.mark.usefixtures("home")
def test_an_error_is_said_all_the_same(command: Command) -> None:
    outcome = command("-q", "events", "label", "nobody", "normal")
    assert (outcome.code, outcome.out, "nobody" in outcome.err) == (2, "", True)


@pytest.mark.usefixtures("home", "refused")
def test_a_bar_is_not_shown_and_what_went_wrong_is(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    loud = command(*TEACH)
    assert ("fitting" in loud.err, "gate-1 would be missed" in loud.out) == (True, True)
    quiet = command(*TEACH, "-q")
    assert (quiet.out, "fitting" in quiet.err, "gate-1 would be missed" in quiet.err) == ("", False, True)


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A logger of the program; how it logs is as before afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield logging.getLogger("msflow_stream.a_test")
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_service_logs_warnings_only(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    with silence(), logged("text"):
        log.info("a camera is there")
        log.warning("a camera is away")
    assert "a camera is there" not in (said := capsys.readouterr().err)
    assert "a camera is away" in said


def test_silence_ends_with_its_time() -> None:
    with silence(False):
        assert not is_quiet()
    with silence():
        with silence(False):
            assert is_quiet()  # who is called cannot be louder than who calls
        be_quiet()
    assert not is_quiet()
