"""Listings are read by programs, too: one JSON document, or tab-separated values under the same names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import doctor
from tests.pipelines.commands.tree import commands
from tests.support.command import Command

LISTINGS = {
    "events list": (),
    "scenes list": (),
    "scenes history": ("yard",),
    "doctor": (),
    "weights list": (),
    "console user list": (),
}
FACTS = {"events show": ("gate-1",), "scenes show": ("yard",), "info": ()}
SNAKE = re.compile(r"[a-z][a-z0-9_]*")


def said(command: Command, name: str, form: str, *more: str) -> str:
    """What a listing writes to stdout."""
    outcome = command(*name.split(), *(LISTINGS | FACTS)[name], "--format", form, *more)
    assert (outcome.code, outcome.err) == (0, "")
    return outcome.out


def lines(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def cell(value: Any) -> str:
    """A value as a program finds it between two tabs."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def named(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from named(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", cell(value)


@pytest.fixture(autouse=True)
def looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is as fast at the second look as at the first."""
    findings = [doctor.Finding("clock", "slow", "it jumped by 3 s", "let NTP set it"), *doctor._extras()]
    monkeypatch.setattr(doctor, "found", lambda out: findings)


@pytest.mark.parametrize("name", LISTINGS)
@pytest.mark.usefixtures("home")
def test_a_listing_is_one_json_document_and_the_same_in_lines(name: str, command: Command) -> None:
    document = json.loads(said(command, name, "json"))
    names, *rows = lines(said(command, name, "tsv"))
    assert document
    assert all(list(one) == names for one in document)
    assert all(SNAKE.fullmatch(one) for one in names)
    assert rows == [[cell(value) for value in one.values()] for one in document]


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.usefixtures("home")
def test_what_is_known_of_one_thing_is_an_object_or_a_line_for_each_value(name: str, command: Command) -> None:
    document = json.loads(said(command, name, "json"))
    names, *rows = lines(said(command, name, "tsv"))
    assert all(SNAKE.fullmatch(one) for one in document)
    assert names == ["name", "value"]
    assert rows == [list(pair) for pair in named(document)]


def test_every_command_that_lists_has_the_same_formats() -> None:
    having = {name for name, one in commands().items() if any("--format" in option.opts for option in one.params)}
    assert having == {*LISTINGS, *FACTS, "events export"}


@pytest.mark.usefixtures("home")
def test_values_are_whole_where_tables_round_them(command: Command) -> None:
    listed = {one["id"]: one for one in json.loads(said(command, "events list", "json"))}
    open_, over = listed["gate-2"], listed["gate-1"]
    assert (open_["end"], open_["label"], open_["probability"]) == (None, None, 0.001)
    assert (over["end"], over["start_wall"], over["probability"]) == (12.75, "2026-01-02T03:04:05.060000Z", 2e-07)
    assert (over["note"], over["triggers"]) == ("with a\ttab\nand a second line", ["paper", "surprise"])
    assert over["why"].startswith("moved at 0.11 widths/s")
    shown = json.loads(said(command, "events show", "json"))
    assert over == {name: shown[name] for name in over}
    assert (shown["reason"]["velocity"], shown["tracks"][0]["path"][1][0], shown["files"]) == ([-0.11, 0.0], 0.4, [])


@pytest.mark.usefixtures("home")
def test_users_and_versions_have_what_programs_ask_for(command: Command) -> None:
    (ann,) = json.loads(said(command, "console user list", "json"))
    created = "2026-03-01T12:00:00Z"
    expected = {"name": "ann", "role": "operator", "cameras": ["gate", "yard"], "created": created, "last_seen": None}
    assert ann == expected
    (version,) = json.loads(said(command, "scenes history", "json"))
    assert (version["version"], version["state"], version["kept"], version["taught"]) == (1, "live", True, [])


def test_nothing_is_an_empty_list_or_a_line_of_names(command: Command, home: Path) -> None:
    nowhere = ("--camera", "nowhere")
    assert json.loads(said(command, "events list", "json", *nowhere)) == []
    assert said(command, "events list", "tsv", *nowhere).startswith("id\tsource\tscene\t")
    assert said(command, "events list", "tsv", *nowhere).count("\n") == 1
    assert json.loads(said(command, "scenes list", "json", "--scenes", str(home / "none"))) == []
