"""The tree of commands, as it is parsed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from pipelines.commands.app import app


def commands() -> dict[str, Any]:
    """Returns all commands and groups by what is typed for them."""
    return dict(_below("", typer.main.get_command(app)))


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for verb, one in getattr(command, "commands", {}).items():
        yield from _below(f"{name} {verb}".strip(), one)
