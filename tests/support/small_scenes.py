"""Scenes that are small and made without a fit: those of an old version, with a word in their records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from msflow_stream.files import file_hash
from msflow_stream.scenes.folder import RECORD, WEIGHTS

YARD = Path(__file__).parents[1] / "scenes" / "data" / "yard"


def small_scene(folder: Path, word: str, weights: bytes | None = None) -> Path:
    """Makes a scene whose record says `word`; with weights that are none, only its files can be looked at."""
    shutil.copytree(YARD, folder)
    if weights is not None:
        (folder / WEIGHTS).write_bytes(weights)
    record = json.loads((folder / RECORD).read_text())
    record["weights_sha256"] = file_hash(folder / WEIGHTS)
    record["fit"]["word"] = word
    (folder / RECORD).write_text(json.dumps(record))
    return folder


def word_of(folder: Path) -> str:
    """Returns the word of a scene, whose record and weights are of one scene."""
    record = json.loads((folder / RECORD).read_text())
    assert file_hash(folder / WEIGHTS) == record["weights_sha256"]
    return str(record["fit"]["word"])
