"""Settings of all tests: one thread for sums each, since the tests run in parallel, and no trial of engines."""

from __future__ import annotations

import os
from pathlib import Path

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
os.environ |= dict.fromkeys(ONE_THREAD, "1")  # before torch is imported, and for the commands that tests start
os.environ |= {"OMP_WAIT_POLICY": "passive"}  # more threads than cores that spin for each other take many times as long
os.environ |= {"MSFLOW_ENGINE": "torch", "MSFLOW_PRECISION": "float32"}  # of commands; a trial takes seconds

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from msflow_stream.cores import usable_cores  # noqa: E402
from tests.support.command import Command  # noqa: E402

FIRST = (
    # Files whose tests fork this process, which takes long when it has grown.
    "teaching/test_versions.py",
    "teaching/test_sync.py",
    "events/alerts/test_adoption.py",
    # Files that take longest: begun last, one of them would keep one worker busy and the others waiting.
    "docs/test_running_code_blocks.py",
    "pipelines/test_watch_learning.py",
    "web/browser/test_teaching.py",
    "web/browser/test_learning.py",
    "pipelines/test_watch_faults.py",
    "cluster/test_session.py",
    "scoring/engines/test_engines.py",
    "pipelines/test_record.py",
    "web/browser/test_pages.py",
    "web/browser/test_work.py",
    "pipelines/test_evaluate.py",
    "pipelines/test_watch_events.py",
    "pipelines/test_watch.py",
    "pipelines/test_watch_console.py",
    "pipelines/test_watch_alert_faults.py",
    "pipelines/test_fit.py",
    "teaching/fitting/test_candidate.py",
)

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files that take longest first."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(FIRST)))
