"""normal_scores.csv in a scene's folder: scores of normal frames, so that a calibration needs no footage again."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from msflow_stream.types import UserError

NORMAL_SCORES = "normal_scores.csv"


@dataclass(frozen=True, slots=True)
class NormalScore:
    """All three scores of a normal frame, unsmoothed; `time` in seconds from the source's start."""

    source: str
    index: int
    time: float
    score: float
    surprise: float
    surprise_mean: float


def write_normal_scores(folder: Path, scores: Sequence[NormalScore]) -> None:
    """Writes the file into a folder."""
    with (folder / NORMAL_SCORES).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([f.name for f in fields(NormalScore)])
        for one in scores:
            source, index, time, *values = astuple(one)
            rows.writerow([source, index, f"{time:.6f}", *(f"{value:.9g}" for value in values)])


def read_normal_scores(folder: Path) -> list[NormalScore]:
    """The scores in a scene's folder.

    Raises:
        UserError: there are none, or the file is damaged.
    """
    path = folder / NORMAL_SCORES
    try:
        with path.open(newline="", encoding="utf-8") as file:
            head, *lines = csv.reader(file, strict=True)
        if head != [f.name for f in fields(NormalScore)]:
            raise ValueError("other columns")
        return [
            NormalScore(source, int(index), float(time), float(score), float(surprise), float(mean))
            for source, index, time, score, surprise, mean in lines
        ]
    except FileNotFoundError:
        raise UserError(f"{folder} holds no normal scores: give normal footage with --normal SOURCE") from None
    except (ValueError, csv.Error):
        raise UserError(f"{path} is damaged: give normal footage with --normal SOURCE") from None
