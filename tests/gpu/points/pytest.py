"""The tests that need a GPU, each by its name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.gpu.report import At

ROOT = Path(__file__).resolve().parents[3]
VERDICTS = {"PASSED": "PASS", "FAILED": "FAIL", "ERROR": "FAIL", "SKIPPED": "SKIP", "XFAIL": "PASS"}


def check(at: At) -> None:
    """Runs them."""
    plain = ["-o", "addopts=--strict-markers", "-v", "-p", "no:cacheprovider", "--no-header"]
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-m", "gpu", *plain]
    try:
        unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}  # what was said counts, should the time be up
        limit = max(1.0, at.left)
        said = subprocess.run(
            command, cwd=ROOT, env=unbuffered, capture_output=True, text=True, timeout=limit, check=False
        ).stdout
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        at.skip("the rest of the tests", f"cut: they take longer than {at.point}'s time")
    found = re.findall(r"^tests/(\S+\.py::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)", said, re.MULTILINE)
    if found and not at.needs_cuda(f"{len(found)} tests"):
        return
    for name, verdict in found:
        if VERDICTS[verdict] == "SKIP":
            at.skip(name, "skipped by itself")
            continue
        with at.case(name) as case:
            case.holds(VERDICTS[verdict] == "PASS", verdict.lower())
    if not found:
        with at.case("collected") as case:
            case.fail(f"no test ran: {' '.join(said.split()[-60:])}")
