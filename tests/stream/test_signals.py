"""Signals are for a whole process: their cases run in one of their own, where nobody else has handlers or threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.data import REPOSITORY

CASES = Path(__file__).with_name("signal_cases.py")


def test_signals_stop_abort_and_are_handed_on() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", str(CASES)]
    quick = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=quick, capture_output=True, text=True, timeout=120)
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
