"""Thresholds for few false alarms, from scores of normal footage that the fit has not seen."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from msflow_stream.config.settings import Settings
from msflow_stream.files import replaced
from msflow_stream.scenes.calibration import Calibration, CalibrationBasis
from msflow_stream.scenes.exchange import scene_changing
from msflow_stream.scenes.folder import FORMAT, RECORD, read_record
from msflow_stream.scenes.tails.excursions import NormalRecord, Series
from msflow_stream.scenes.tails.fitting import (
    TailFit,
    ThresholdEstimate,
    estimate_without_tail,
    fit_tail,
    supported_rate,
)
from msflow_stream.series import lasting, smooth
from msflow_stream.types import APPEARANCE_KINDS, SCORE_COLUMNS, SCORE_KINDS, Scored, ScoreKind, Scores, UserError

NORMAL_SCORES = "normal_scores.csv"
COLUMNS = ["source", "index", "time", *SCORE_COLUMNS]
WITHOUT_MOTION = COLUMNS[: -len(SCORE_COLUMNS) + len(APPEARANCE_KINDS)]  # of scenes from before there was motion
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
MAP_QUANTILES = (0.99, 0.9999)  # of normal map values: where the overlay's heat begins, and half of where it is full


def event_times(settings: Settings) -> tuple[float, float]:
    """Returns the seconds that scores are smoothed over, and that they must be above a threshold to be an event."""
    return settings.score.smoothing, settings.event.min_duration


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
        if head not in (COLUMNS, WITHOUT_MOTION):
            raise ValueError("other columns")
        if any(len(line) != len(head) for line in lines):
            raise ValueError("a line of another length")
        return [
            NormalScore(source, int(index), float(time), Scores(*map(float, values)))
            for source, index, time, *values in lines
        ]
    except FileNotFoundError:
        raise UserError(f"{folder} holds no normal scores: give normal footage with --normal SOURCE") from None
    except (ValueError, csv.Error):
        raise UserError(f"{path} is damaged: give normal footage with --normal SOURCE") from None


@dataclass(slots=True)
class NormalStatistics:
    """Scores of normal frames, source by source, and where the values of their maps end."""

    scores: list[NormalScore] = field(default_factory=list)
    peaks: list[npt.NDArray[np.float64]] = field(default_factory=list)  # MAP_QUANTILES of every map

    def add(self, score: NormalScore, anomaly_map: npt.NDArray[np.float16]) -> None:
        """Adds the next frame."""
        self.scores.append(score)
        self.peaks.append(np.quantile(anomaly_map.astype(np.float32), MAP_QUANTILES))

    def calibration(self, smoothing: float, min_duration: float, fitted: bool = False) -> Calibration:
        """Returns a summary, with thresholds at which none of these frames is in an event.

        Args:
            smoothing: seconds, of the scores that alarms are about.
            min_duration: seconds that a score must be above its threshold to be an event.
            fitted: whether these are the very frames that the scene was fitted on.
        """
        low, high = np.median(self.peaks, axis=0)[0], np.max(self.peaks, axis=0)[1]
        highest = {
            kind: normal_record(self.scores, kind, smoothing, min_duration).highest for kind in kinds_of(self.scores)
        }
        return Calibration(
            frames=0 if fitted else len(self.scores),
            quantiles=quantiles(self.scores),
            thresholds=highest,
            map_range=(float(low), float(high)),
        )


def kinds_of(scores: Sequence[NormalScore]) -> list[ScoreKind]:
    """Returns the kinds of score that are there: those that are finite in a frame or more. The paper's is expected."""
    return [
        kind for kind in SCORE_KINDS if kind == "paper" or any(math.isfinite(one.scores.of(kind)) for one in scores)
    ]


def quantiles(scores: Sequence[NormalScore]) -> dict[ScoreKind, dict[str, float]]:
    """Returns QUANTILES of the finite scores as they are, of every kind that is there."""
    found: dict[ScoreKind, dict[str, float]] = {}
    for kind in kinds_of(scores):
        unsmoothed = normal_record(scores, kind, 0.0).values
        values = np.quantile(unsmoothed, QUANTILES).tolist()
        found[kind] = {str(q): value for q, value in zip(QUANTILES, values, strict=True)}
    return found


def normal_record(
    scores: Sequence[NormalScore], kind: ScoreKind, smoothing: float, min_duration: float = 0.0, gap: float = 0.0
) -> NormalRecord:
    """Returns the scores as events are made of them: smoothed, and the highest level that lasted, source by source.

    A level that did not last as long as an event must (seconds) opens none. Where no source is that long, the scores
    count as they are.

    Raises:
        UserError: none is finite.
    """
    series, lasted = [], []
    for _, group in groupby(scores, key=lambda one: one.source):
        frames = list(group)
        times = [one.time for one in frames]
        values = smooth(times, [one.scores.of(kind) for one in frames], smoothing)
        series.append(Series(np.array(times), np.array(values)))
        lasted.append(Series(np.array(times), np.array(lasting(times, values, min_duration))))
    result = NormalRecord(lasted, gap)
    if not len(result.values):
        result = NormalRecord(series, gap)
    if not len(result.values):
        raise UserError(f"no {kind} score of the normal frames is finite: fit the scene again")
    return result


@dataclass(frozen=True, slots=True)
class CalibratedKind:
    """The calibration of one kind of score: the scores, their tail where one could be fitted, and the threshold."""

    record: NormalRecord
    fit: TailFit | None
    estimate: ThresholdEstimate


def calibrate_kind(
    scores: Sequence[NormalScore],
    kind: ScoreKind,
    rate: float,
    smoothing: float,
    min_duration: float,
    gap: float,
    random: np.random.Generator,
) -> CalibratedKind:
    """Finds a threshold for so many false alarms per hour, or for as few as the scores support.

    Args:
        scores: all scores of normal frames, source by source.
        kind: the one that counts.
        rate: false alarms per hour.
        smoothing: seconds.
        min_duration: seconds that a score must be above a threshold to be an alarm.
        gap: seconds; alarms no further apart are one.
        random: generator of what intervals and tests draw.

    Raises:
        UserError: no score is finite.
    """
    normal = normal_record(scores, kind, smoothing, min_duration, gap)
    fit = fit_tail(normal, rate, random)
    if fit is None:
        return CalibratedKind(normal, None, estimate_without_tail(normal))
    return CalibratedKind(normal, fit, fit.estimate_threshold(max(rate, supported_rate(normal.hours)), normal, random))


def with_thresholds(
    calibration: Calibration, found: dict[ScoreKind, CalibratedKind], basis: CalibrationBasis
) -> Calibration:
    """Returns the calibration with these thresholds and their tails in place of its own."""
    return calibration.model_copy(
        update={
            "thresholds": {kind: one.estimate.threshold for kind, one in found.items()},
            "tails": {kind: one.fit.tail for kind, one in found.items() if one.fit is not None},
            "limits": {kind: one.estimate for kind, one in found.items()},
            "basis": basis,
        }
    )


def save_calibration(folder: Path, calibration: Calibration) -> None:
    """Replaces the calibration of a saved scene in one step; its weights are not touched.

    Raises:
        UserError: no such scene.
    """
    with scene_changing(folder):
        content = read_record(folder)
        content |= {"format": FORMAT, "calibration": calibration.model_dump(mode="json")}
        with replaced(folder / RECORD) as partial:
            partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
