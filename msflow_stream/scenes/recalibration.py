"""Recalibration of a scene: other thresholds, from the scores of normal frames that are there already."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from msflow_stream.config.settings import EventSettings, Settings
from msflow_stream.scenes.calibration import Calibration, CalibrationBasis
from msflow_stream.scenes.folder import read_record
from msflow_stream.scenes.tails.fitting import TailFit, fit_tail, supported_rate
from msflow_stream.scenes.thresholds import (
    CalibratedKind,
    NormalScore,
    calibrate_kind,
    kinds_of,
    normal_record,
    quantiles,
    read_normal_scores,
    with_thresholds,
)
from msflow_stream.types import SCORE_KINDS, ScoreKind, UserError

SEED = 0  # of what is drawn for intervals and tests: the same scores give the same figures
GAP = EventSettings().cool_down  # seconds; alarms that lie no further apart are one


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """A new calibration, and what it is made from."""

    calibration: Calibration
    found: dict[ScoreKind, CalibratedKind]


def recalibrated(
    scores: Sequence[NormalScore],
    before: Calibration,
    rate: float,
    settings: Settings,
    gap: float = GAP,
    kinds: Collection[ScoreKind] = SCORE_KINDS,
) -> Recalibrated:
    """Finds thresholds for so many false alarms per hour; all else of the calibration stays.

    Args:
        scores: scores of normal frames, source by source.
        before: the calibration.
        rate: false alarms per hour, of each kind of score.
        settings: the scene's.
        gap: seconds; alarms no further apart are one.
        kinds: the kinds of score that count, of those that are there.

    Raises:
        UserError: no score is finite.
    """
    random = np.random.default_rng(SEED)
    smoothing, least = settings.score.smoothing, settings.event.min_duration
    found = {
        kind: calibrate_kind(scores, kind, rate, smoothing, least, gap, random)
        for kind in kinds_of(scores)
        if kind in kinds
    }
    hours = max((one.record.hours for one in found.values()), default=0.0)
    basis = CalibrationBasis(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        asked=rate,
        supported=supported_rate(hours) if hours else None,
        hours=hours,
        sources=dict(Counter(one.source for one in scores)),
        smoothing=smoothing,
        min_duration=least,
        gap=gap,
    )
    return Recalibrated(with_thresholds(before, found, basis), found)


def kept_scores(folder: Path) -> tuple[list[NormalScore], Calibration]:
    """Returns the scores that the fit of a scene kept, and the calibration whose other parts stay.

    Raises:
        UserError: no such scene, or it kept none.
    """
    scores, record = read_normal_scores(folder), read_record(folder)
    if not scores or record["calibration"] is None:
        raise UserError(f"{folder} holds no normal scores: give normal footage with --normal SOURCE")
    before = Calibration.model_validate(record["calibration"])
    fitted = record["fit"].get("held_out_frames") == 0
    return scores, before.model_copy(update={"frames": 0 if fitted else len(scores), "quantiles": quantiles(scores)})


class ThresholdFinder:
    """The thresholds of one kind of score for any rate of false alarms, as `calibrate_kind` finds them, but quickly.

    Attributes:
        hours: length of the footage.
    """

    def __init__(self, scores: Sequence[NormalScore], kind: ScoreKind, settings: Settings, gap: float = GAP) -> None:
        self._record = normal_record(scores, kind, settings.score.smoothing, settings.event.min_duration, gap)
        self._fits: dict[float, TailFit | None] = {}  # by the level at which the tail begins
        self.hours = self._record.hours

    def threshold(self, rate: float) -> float:
        """Returns the threshold for so many false alarms per hour, or for as few as the footage supports."""
        level = self._record.level(rate)
        if level not in self._fits:
            self._fits[level] = fit_tail(self._record, rate, np.random.default_rng(SEED), draws=1)
        fit = self._fits[level]
        return self._record.highest if fit is None else fit.tail.threshold(max(rate, supported_rate(self.hours)))

    @property
    def supported(self) -> float:
        """The fewest false alarms per hour that the footage supports; infinite where its length is unknown."""
        return supported_rate(self.hours) if self.hours else math.inf
