"""Scores of normal footage, kept source by source until a calibration on a cluster is complete."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np

from msflow_stream.files import replaced
from msflow_stream.scenes.folder import fit_identity, read_record
from msflow_stream.scenes.thresholds import NormalScore, NormalStatistics
from msflow_stream.types import Scores


def kept_folder(scene: Path) -> Path:
    """Returns the folder beside a scene's in which the scores of sources are kept."""
    return scene.with_name(f".{scene.name}.normal")


def kept_file(scene: Path, source: Path, facts: tuple[str, ...]) -> Path:
    """Returns the file for a source's scores: another one for another scene, source or way to score."""
    found = source.stat()
    told = [fit_identity(read_record(scene)), str(source), found.st_size, found.st_mtime_ns, *facts]
    return kept_folder(scene) / f"{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]}.npz"


def keep_normal(path: Path, normal: NormalStatistics) -> None:
    """Writes the scores of one source, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            source=np.array([one.source for one in normal.scores], np.str_),
            index=np.array([one.index for one in normal.scores], np.int64),
            time=np.array([one.time for one in normal.scores], np.float64),
            scores=np.array([tuple(one.scores) for one in normal.scores], np.float64),
            peaks=np.array(normal.peaks, np.float64),
        )


def kept_normal(path: Path) -> NormalStatistics | None:
    """Returns what was kept; None where there is nothing that can be read."""
    try:
        with np.load(path, allow_pickle=False) as found:
            columns = zip(*(found[name].tolist() for name in ("source", "index", "time", "scores")), strict=True)
            scores = [NormalScore(source, index, time, Scores(*values)) for source, index, time, values in columns]
            return NormalStatistics(scores, list(found["peaks"]))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
