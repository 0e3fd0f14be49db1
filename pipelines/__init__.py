"""The jobs of the command line, one file each.

A checkout has this package at its top; an installed wheel has it as `msflow_stream.pipelines`, so that it takes one
import name only. Imports within it are relative, and so work in both places.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def packaged_config(name: str) -> Path:
    """Returns the YAML file of settings that comes with the program under this name, such as "demo"."""
    return Path(str(files(__name__))).with_name("configs") / f"{name}.yaml"  # beside this package, wherever it is
