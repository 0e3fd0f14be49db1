"""OpenVINO's files: a network is two of them."""

from __future__ import annotations

import tempfile
from pathlib import Path


def save_openvino(model: object, path: Path) -> None:
    """Writes both files of an OpenVINO model, the one that names the other last."""
    import openvino

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        made = Path(folder) / path.name
        openvino.save_model(model, made, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            made.with_suffix(suffix).replace(path.with_suffix(suffix))
