"""normal_scores.csv in a scene's folder: scores of normal frames, so that a calibration needs no footage again."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msflow_stream.types import SCORE_COLUMNS, Scored, Scores, UserError

NORMAL_SCORES = "normal_scores.csv"
COLUMNS = ["source", "index", "time", *SCORE_COLUMNS]


@dataclass(frozen=True, slots=True)
class NormalScore(Scored):
    """The scores of a normal frame, unsmoothed; `time` in seconds from the source's start."""

    source: str
    index: int
    time: float
    scores: Scores


def write_normal_scores(folder: Path, scores: Sequence[NormalScore]) -> None:
    """Writes the file into a folder."""
    with (folder / NORMAL_SCORES).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for one in scores:
            rows.writerow([one.source, one.index, f"{one.time:.6f}", *(f"{value:.9g}" for value in one.scores)])


def read_normal_scores(folder: Path) -> list[NormalScore]:
    """Reads the scores in a scene's folder.

    Raises:
        UserError: there are none, or the file is damaged.
    """
    path = folder / NORMAL_SCORES
    try:
        with path.open(newline="", encoding="utf-8") as file:
            head, *lines = csv.reader(file, strict=True)
        if head != COLUMNS:
            raise ValueError("other columns")
        return [
            NormalScore(source, int(index), float(time), Scores(*map(float, values)))
            for source, index, time, *values in lines
        ]
    except FileNotFoundError:
        raise UserError(f"{folder} holds no normal scores: give normal footage with --normal SOURCE") from None
    except (ValueError, TypeError, csv.Error):  # TypeError: too few or too many values
        raise UserError(f"{path} is damaged: give normal footage with --normal SOURCE") from None
