"""The sieve of scored frames: most change nothing of what a detector finds, and need not be remembered."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.detection.detector import PAUSE, STEPS
from msflow_stream.events.detection.regions import MISSES
from msflow_stream.events.detection.triggers import Trigger, TriggerState
from msflow_stream.series import SLACK, SmoothedScore

AFTER = MISSES + 1  # frames without activity, by which every track is over


class ActivitySieve:
    """Keeps the frames of a source that a detector needs; of those alone it finds the same events.

    That holds for a detector with these triggers, or with higher thresholds of the same kinds: a score that is held
    above one of those is held above the lower one, too. Needed are the frames in which one is held, the first ones
    after them, and those that tell how short a step between frames can be, as far as that matters for a pause. Versions
    of events may differ, as they count messages, and so may ids, if thresholds do.

    Args:
        triggers: with the lowest thresholds.
        settings: those of the detector.

    Attributes:
        active: a score is held in the newest frame.
    """

    def __init__(self, triggers: Sequence[Trigger], settings: EventSettings) -> None:
        self._states = [TriggerState(trigger, settings) for trigger in triggers]
        self._enough = max(PAUSE, settings.cool_down) / STEPS  # a step as short as that makes no pause longer
        self._shortest, self._since = math.inf, AFTER
        self._last: SmoothedScore | None = None  # if it was not kept
        self._time = -math.inf
        self.active = False

    def kept(self, scored: SmoothedScore) -> list[SmoothedScore]:
        """Returns what to keep after the next frame: nothing, the frame, or the one before and the frame."""
        for state in self._states:
            state.update(scored.score.scores.of(state.trigger.kind), scored.smoothed[state.trigger.kind])
        self.active = any(state.held for state in self._states)
        self._since = 0 if self.active else self._since + 1
        step, self._time = scored.score.time - self._time, scored.score.time
        before, self._last = self._last, scored
        telling = self._is_telling(step)
        if not (telling or self._since <= AFTER):
            return []
        self._last = None
        return [scored] if before is None or not telling else [before, scored]

    def _is_telling(self, step: float) -> bool:
        """Returns True if the step before a frame is shorter than all others, and that matters."""
        if self._shortest <= self._enough or not SLACK < step < self._shortest:
            return False
        self._shortest = step
        return True
