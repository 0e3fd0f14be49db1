"""What opens an event: kinds of score, each with the threshold that it is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msflow_stream.config.settings import EventSettings, ScoreKind, ScoreSettings
from msflow_stream.series import Smoother
from msflow_stream.types import SCORE_FIELDS, FrameScore

if TYPE_CHECKING:
    from msflow_stream.scenes.calibration import Calibration  # which needs torch


Probability = Callable[[float], float]  # of a smoothed score as high as that, or higher, in a normal frame


@dataclass(frozen=True, slots=True)
class Trigger:
    """A kind of score and what it is compared with.

    Attributes:
        threshold: an event can begin above it.
        normal: the median of normal frames; None where the scene is not calibrated.
        probability: under the tail of normal frames; None where the scene is not calibrated for it.
    """

    kind: ScoreKind
    threshold: float
    normal: float | None = None
    probability: Probability | None = None

    @property
    def reach(self) -> float:
        """From what is normal to the threshold: the unit for how far a score is above it."""
        reach = abs(self.threshold) if self.normal is None else self.threshold - self.normal
        return reach if reach > 0 else 1.0

    def leave(self, share: float) -> float:
        """The level below which there is no activity, that share of the way from what is normal to the threshold."""
        if self.normal is None or self.normal >= self.threshold:
            return self.threshold
        return self.normal + share * (self.threshold - self.normal)


def triggers_of(
    event: EventSettings,
    score: ScoreSettings,
    calibration: Calibration | None,
    probabilities: Mapping[ScoreKind, Probability] | None = None,
) -> tuple[Trigger, ...]:
    """The triggers of a scene, first the kind of score that it is judged by. One without a threshold is left out.

    A threshold that the score settings give is for `score.kind` alone; the others are the calibration's. Unless the
    settings name the triggers they are `score.kind`, for something local, and the surprise, for the whole view.
    """
    if probabilities is None and calibration is not None:
        probabilities = {kind: tail.probability for kind, tail in calibration.tails.items()}
    found = []
    for kind in event.triggers or tuple(dict.fromkeys((score.kind, "surprise"))):
        threshold = math.nan if calibration is None else calibration.thresholds.get(kind, math.nan)
        if kind == score.kind and score.threshold is not None:
            threshold = score.threshold
        normal = None if calibration is None else calibration.quantiles.get(kind, {}).get("0.5")
        if math.isfinite(threshold):
            found.append(Trigger(kind, threshold, normal, (probabilities or {}).get(kind)))
    return tuple(found)


SLACK = 0.002  # seconds: timestamps of some containers are whole milliseconds


class TriggerState:
    """Reads the frames of one source in their order.

    Attributes:
        value: the smoothed score; may be infinite or not a number, as a broken frame's is.
        above: whether it is above the threshold.
        lasting: whether it has been without a break for the minimum duration.
        active: whether it has been above, and not below the leave level since.
    """

    def __init__(self, trigger: Trigger, settings: EventSettings, smoothing: float) -> None:
        self.trigger = trigger
        self.value = -math.inf
        self.above = self.lasting = self.active = False
        self._field, self._smoother = SCORE_FIELDS[trigger.kind], Smoother(smoothing)
        self._leave, self._min_duration = trigger.leave(settings.leave), settings.min_duration
        self._since = math.inf

    def read(self, score: FrameScore) -> None:
        """Takes the next frame."""
        self.value = self._smoother(score.time, getattr(score, self._field))
        self.above = self.value > self.trigger.threshold
        self._since = min(self._since, score.time) if self.above else math.inf
        self.lasting = score.time - self._since >= self._min_duration - SLACK
        self.active = self.above or (self.active and self.value >= self._leave)

    def forget(self) -> None:
        """What comes next has nothing to do with what was."""
        self._since, self.active = math.inf, False
