"""The rows of a source's scores: smoothed, beside the threshold, and how improbable in a normal frame."""

from __future__ import annotations

import logging
import math

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.series import SmoothedScore
from msflow_stream.types import ScoreRow

log = logging.getLogger(__name__)


class ScoreRows:
    """Makes the rows of the kind of score that a scene is judged by.

    Attributes:
        threshold: a row is an alarm above it; infinite where neither the settings nor the scene have one.
    """

    def __init__(self, settings: ScoreSettings, calibration: Calibration | None) -> None:
        """Warns where the scene is calibrated for another smoothing."""
        self.threshold = math.inf
        if settings.threshold is not None:
            self.threshold = settings.threshold
        elif calibration is not None:
            self.threshold = calibration.thresholds[settings.kind]
        basis = None if calibration is None else calibration.basis
        if basis is not None and basis.smoothing != settings.smoothing:
            log.warning(
                "scores are smoothed over %g s, the scene is calibrated for %g s: its threshold does not fit them",
                settings.smoothing,
                basis.smoothing,
            )
        self._tail = None if calibration is None else calibration.tails.get(settings.kind)
        self._kind = settings.kind

    def row(self, scored: SmoothedScore) -> ScoreRow:
        """Returns the row of a scored frame."""
        score, smoothed = scored.score, scored.smoothed[self._kind]
        return ScoreRow(
            score.index,
            score.time,
            score.scores,
            smoothed,
            self.threshold,
            int(smoothed > self.threshold),
            self._probability(smoothed),
            int(score.reused),
        )

    def _probability(self, smoothed: float) -> float | None:
        """Of so high a score in a normal frame; None where the scene is not calibrated, or the score is broken."""
        return None if self._tail is None or math.isnan(smoothed) else self._tail.probability(smoothed)
