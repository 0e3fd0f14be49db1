"""Settings of all tests: one thread for sums each, since the tests run in parallel, and no trial of engines."""

from __future__ import annotations

import os

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
os.environ |= dict.fromkeys(ONE_THREAD, "1")  # before torch is imported, and for the commands that tests start
os.environ |= {"OMP_WAIT_POLICY": "passive"}  # more threads than cores that spin for each other take many times as long
os.environ |= {"MSFLOW_ENGINE": "torch", "MSFLOW_PRECISION": "float32"}  # of commands; a trial takes seconds

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from msflow_stream.cores import usable_cores  # noqa: E402
from tests.support.command import Command  # noqa: E402

torch.set_num_threads(1)
hypothesis.settings.register_profile("any machine", deadline=None)  # no test passes or fails by how long it took
hypothesis.settings.load_profile("any machine")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line, run in this process."""
    return Command(monkeypatch, capsys)


def pytest_xdist_auto_num_workers() -> int:
    """Returns more workers than cores: tests wait for servers, cameras and processes for half of their time."""
    return usable_cores() + 2
