"""What a program imports from the package itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

import msflow_stream
from tests.support.data import REPOSITORY


@pytest.mark.parametrize("name", msflow_stream.__all__)
def test_a_public_name_is_that_of_the_module_that_defines_it(name: str) -> None:
    assert getattr(msflow_stream, name).__name__ == name


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = msflow_stream.Nothing


def test_the_package_is_imported_without_torch() -> None:
    code = "import sys, msflow_stream; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
