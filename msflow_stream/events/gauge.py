"""One kind of score, smoothed, beside its threshold."""

from __future__ import annotations

import math

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.smoothing import Smoother
from msflow_stream.types import SCORE_FIELDS, FrameScore

SLACK = 0.002  # seconds: timestamps of some containers are whole milliseconds


class Gauge:
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
