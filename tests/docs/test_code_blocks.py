"""What stands in README and the documentation is right: commands parse, settings load, Python names what there is."""

from __future__ import annotations

import ast
import re
import shlex
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import msflow_stream
from msflow_stream.config.cameras_file import load_text
from pipelines.commands.app import app
from tests.docs.code_blocks import ASSIGNMENT, PAGES, Block, commands, fenced
from tests.support.data import REPOSITORY

COMMANDS = [block for page in PAGES for block in commands(page)]
YAML = [block for page in PAGES for block in fenced(page) if block.language == "yaml"]
PYTHON = [block for page in PAGES for block in fenced(page) if "import msflow_stream" in block.text]


def parsed(words: list[str]) -> str:
    """The verb of a command of ours, when all its arguments and options are such as it takes."""
    return copy_context().run(_parsed, words)  # as the program is run, so that --quiet does not last


def _parsed(words: list[str]) -> str:
    command: Any = typer.main.get_command(app)
    context, names = command.make_context("msflow-stream", list(words)), list[str]()
    while rest := [*context._protected_args, *context.args]:
        if not hasattr(command, "resolve_command"):
            break
        name, command, rest = command.resolve_command(context, rest)
        names.append(name)
        if not rest and command.params:  # a verb that is only named
            break
        context = command.make_context(name, rest, parent=context)
    return " ".join(names)


def test_a_command_that_is_not_right_is_seen() -> None:
    assert parsed(shlex.split("events list --since 24h")) == "events list"
    for wrong in ("events lists", "score today.mp4 --scne gate", "fit a.mp4 --scene gate --resume=3", "wach"):
        with pytest.raises(Exception, match=r"[Nn]o such|takes no|does not take"):
            parsed(shlex.split(wrong))


def test_there_is_something_to_look_at() -> None:
    assert len(COMMANDS) > 80
    assert len(YAML) > 3
    assert len(PYTHON) > 2


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_commands_are_such_as_the_programs_take(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word for word in shlex.split(block.text) if not ASSIGNMENT.fullmatch(word)]
    if words[0] == "msflow-stream":
        assert words[1] in ("--install-completion", "--show-completion", "--version") or parsed(words[1:])
    elif words[0] == "make":
        targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in words[1:] if "=" not in word and not word.startswith("-")} <= targets
    elif words[0] in ("pip", "uv"):
        extras = re.findall(r"\[([a-z0-9,]+)\]", block.text)
        known = set(re.findall(r"^([a-z0-9]+) = \[", (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE))
        assert {name for names in extras for name in names.split(",")} <= known
    elif words[0].startswith("python") and (words[1] != "-m" or words[2].startswith("tests.")):
        file = words[1] if words[1] != "-m" else words[2].replace(".", "/") + ".py"
        assert (REPOSITORY / file).exists()
    elif words[0] == "cp":
        assert (REPOSITORY / words[1]).exists()


@pytest.mark.parametrize("block", YAML, ids=str)
def test_settings_are_such_as_a_cameras_file_takes(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in re.findall(r"\$\{(\w+)\}", block.text):
        monkeypatch.setenv(name, "secret")
    values = {"cameras": {"gate": {"url": "rtsp://192.0.2.10/stream", "scene": "gate"}}} | yaml.safe_load(block.text)
    assert load_text(yaml.safe_dump(values), tmp_path / "cameras.yaml").cameras


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_uses_public_names_only(block: Block) -> None:
    tree = ast.parse(block.text)
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ms"
    }
    assert used
    assert used <= set(msflow_stream.__all__)
