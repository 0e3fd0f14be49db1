"""Settings of all tests: one thread of torch each, since the tests run in parallel."""

from __future__ import annotations

import pytest
import torch

from tests.support.command import Command

torch.set_num_threads(1)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line, run in this process."""
    return Command(monkeypatch, capsys)
