"""Settings of all tests: one thread of torch each, since the tests run in parallel, and no trial of engines."""

from __future__ import annotations

import os

import pytest
import torch

from tests.support.command import Command

torch.set_num_threads(1)
os.environ |= {"MSFLOW_ENGINE": "torch", "MSFLOW_PRECISION": "float32"}  # of commands; a trial takes seconds


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line, run in this process."""
    return Command(monkeypatch, capsys)
