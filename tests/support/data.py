"""Where the real data for tests is; see shared/data/README.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def test_data() -> Path:
    """Returns the data folder: $MSFLOW_TEST_DATA, or ../shared/data beside the repository; skips the test without it.

    Import the module and call `data.test_data()`: pytest would take the bare name for a test.
    """
    folder = Path(os.environ.get("MSFLOW_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}; set MSFLOW_TEST_DATA")
    return folder
