"""Calibration of a scene: its thresholds, tails and overlay range, as stored in scene.json."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.scenes.tails.fitting import Tail, ThresholdEstimate
from msflow_stream.types import ScoreKind
from msflow_stream.video.drawing.overlay import OverlayStyle


class CalibrationBasis(BaseModel):
    """The number of false alarms that a calibration was asked for, and the footage that it rests on.

    Attributes:
        asked: false alarms per hour.
        supported: the fewest that so much footage supports; None where its length is unknown.
        hours: of normal footage, in `sources` with so many frames each.
        smoothing, gap: seconds; scores were smoothed so, and alarms no further apart than the gap were one.
        min_duration: seconds that a score had to be above a level to count.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    created: str
    asked: float
    supported: float | None
    hours: float
    sources: dict[str, int]
    smoothing: float
    gap: float
    min_duration: float = 0.0


class Calibration(BaseModel):
    """The scores of normal frames, from footage that was held out of the fit, and the thresholds for them.

    Attributes:
        frames: number of normal frames that were not fitted; 0 means that the fitted frames themselves were used.
        quantiles: per kind of score, quantile (as text) to value.
        thresholds: per kind, the highest smoothed score that lasted as long as an event must, or the one for the false
            alarms in `basis`.
        map_range: map values at which the overlay's heat begins and is full.
        tails: per kind, what turns a smoothed score into a probability; none before `basis` is there, or where there
            is too little footage.
        limits: per kind, what to expect of the threshold.
        basis: of the thresholds, once they are for a number of false alarms.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    frames: int
    quantiles: dict[ScoreKind, dict[str, float]]
    thresholds: dict[ScoreKind, float]
    map_range: tuple[float, float]
    tails: dict[ScoreKind, Tail] = {}
    limits: dict[ScoreKind, ThresholdEstimate] = {}
    basis: CalibrationBasis | None = None


def overlay_style(calibration: Calibration | None, settings: ScoreSettings) -> OverlayStyle:
    """Returns a style: heat begins where normal maps end, the middle of the score bar is about the threshold."""
    kind: ScoreKind = settings.kind
    if calibration is None:
        return OverlayStyle(low=1.0, high=2.0, threshold=settings.threshold, parts=kind == "combined")
    normal, highest = calibration.quantiles[kind]["0.5"], calibration.thresholds[kind]
    threshold = highest if settings.threshold is None else settings.threshold
    reach = max(abs(threshold - normal), 1e-3)
    low, high = calibration.map_range
    return OverlayStyle(
        low=low,
        high=max(high, low + 1e-3),
        threshold=threshold,
        score_range=(normal - reach, normal + 3 * reach),
        parts=kind == "combined",
    )
