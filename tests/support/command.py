"""Runs the command line in this process: arguments in, exit code and output out."""

from __future__ import annotations

import logging
import os
import sys
from typing import NamedTuple

import pytest

import cli


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """`command("score", "a.mp4", ...)` as a person would type it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Outcome:
        self._monkeypatch.setattr(sys, "argv", ["msflow-stream", *map(str, arguments)])
        self._monkeypatch.setenv("COLUMNS", "200")
        self._monkeypatch.setattr(os, "nice", lambda increment: 0)  # it is for good
        self._capsys.readouterr()
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        finally:
            root.handlers[:] = handlers  # those of the command write to what this test captures
            root.setLevel(level)
        return Outcome(code, *self._capsys.readouterr())
