"""The losses of a fit do without TensorBoard, which is an extra."""

from __future__ import annotations

import subprocess
import sys

WITHOUT = "import sys; sys.modules['tensorboard'] = None; import msflow_stream.scenes.losses"


def test_a_fit_does_without_tensorboard() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT], check=True)
