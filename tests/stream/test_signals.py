"""Signals are for a whole process: their cases run in one of their own, where nobody else has handlers or threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.data import REPOSITORY

CASES = Path(__file__).with_name("signal_cases.py")


def test_signals_stop_abort_and_are_handed_on() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
