"""Triggers of events: kinds of score, each with the threshold that it is compared with, and the state of one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msflow_stream.config.settings import EventSettings, ScoreSettings
from msflow_stream.types import ScoreKind

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
    def margin(self) -> float:
        """The distance from what is normal to the threshold: the unit for how far a score is above it."""
        margin = abs(self.threshold) if self.normal is None else self.threshold - self.normal
        return margin if margin > 0 else 1.0

    def release_level(self, share: float) -> float:
        """Returns the level below which activity ends, that share of the way from what is normal to the threshold."""
        if self.normal is None or self.normal >= self.threshold:
            return self.threshold
        return self.normal + share * (self.threshold - self.normal)


def default_triggers(kind: ScoreKind) -> tuple[ScoreKind, ...]:
    """Returns the kinds that trigger events of a scene that is judged by a kind, where the settings name none."""
    return (kind,) if kind == "combined" else tuple(dict.fromkeys((kind, "surprise")))


def triggers_of(
    event: EventSettings,
    score: ScoreSettings,
    calibration: Calibration | None,
    probabilities: Mapping[ScoreKind, Probability] | None = None,
) -> tuple[Trigger, ...]:
    """Returns the triggers of a scene, first the kind of score that it is judged by.

    A kind without a threshold is left out. A threshold that the score settings give is for `score.kind` alone; the
    others are the calibration's. Unless the settings name the triggers they are `score.kind`, for something local, and
    the surprise, for the whole view; the combined score is for both, and the only one.
    """
    if probabilities is None and calibration is not None:
        probabilities = {kind: tail.probability for kind, tail in calibration.tails.items()}
    found = []
    for kind in event.triggers or default_triggers(score.kind):
        threshold = math.nan if calibration is None else calibration.thresholds.get(kind, math.nan)
        if kind == score.kind and score.threshold is not None:
            threshold = score.threshold
        normal = None if calibration is None else calibration.quantiles.get(kind, {}).get("0.5")
        if math.isfinite(threshold):
            found.append(Trigger(kind, threshold, normal, (probabilities or {}).get(kind)))
    return tuple(found)


class TriggerState:
    """The state of one trigger after the frames of a source so far.

    Attributes:
        above: the smoothed score is above the threshold.
        striking: the frame's own score is above it, too.
        held: it has been above, and not below the release level since.
        acting: that, and the frame's own score is not below it, so that what the smoothing drags behind a peak is no
            activity.
    """

    def __init__(self, trigger: Trigger, settings: EventSettings) -> None:
        self.trigger = trigger
        self.above = self.striking = self.held = self.acting = False
        self._release_level = trigger.release_level(settings.leave)

    def update(self, score: float, smoothed: float) -> None:
        """Notes the next frame's own score, and the smoothed one."""
        self.above = smoothed > self.trigger.threshold
        self.striking = self.above and score > self.trigger.threshold
        self.held = self.above or (self.held and smoothed >= self._release_level)
        self.acting = self.held and score >= self._release_level

    def reset(self) -> None:
        """Forgets the frames so far: what comes next has nothing to do with them."""
        self.above = self.striking = self.held = self.acting = False
