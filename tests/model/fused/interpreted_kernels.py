"""Runs every Triton kernel in Triton's interpreter beside the plain operation, and prints the largest differences.

A program of its own, as TRITON_INTERPRET has to be set before Triton is imported.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["TRITON_INTERPRET"] = "1"

from msflow_stream.model.fused import kernels as plain
from msflow_stream.model.fused.kernels import cuda
from tests.model.fused.kernel_cases import all_cases, steps_between


def main() -> None:
    """Prints the difference of each case."""
    found: dict[str, float] = {}
    for name, case in all_cases():
        found[name] = max(found.get(name, 0.0), steps_between(case(cuda), case(plain)))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
