"""Where the real data for tests is: real weights, Ped2 as a ShanghaiTech tree, Magnetic Tile, golden tensors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = Path(os.environ.get("MSFLOW_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


def test_data() -> Path:
    """Returns the data folder: $MSFLOW_TEST_DATA, or ../shared/data beside the repository; skips the test without it.

    Import the module and call `data.test_data()`: pytest would take the bare name for a test.
    """
    if not ROOT.is_dir():
        pytest.skip(f"no test data in {ROOT}; set MSFLOW_TEST_DATA")
    return ROOT
