"""The thresholds of a candidate: for as many false alarms as those of the live scene."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from msflow_stream.config.settings import Settings
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.joint import Logistic
from msflow_stream.scenes.tails.fitting import Tail, ThresholdEstimate
from msflow_stream.scenes.thresholds import NormalScore, NormalStatistics, event_times, kinds_of, normal_record
from msflow_stream.types import ScoreKind

OWN_UNITS: frozenset[ScoreKind] = frozenset({"combined", "motion"})  # a candidate's mean what the live scene's do


def with_same_promise(
    live: Calibration | None, before: Sequence[NormalScore], normal: NormalStatistics, settings: Settings, fitted: bool
) -> Calibration:
    """Returns the calibration of a candidate.

    The thresholds of the live scene are carried over. A combined score is a probability and motion is in units of what
    is normal, so theirs stay as they are: normal frames in which taught motion is usual now score less, but nobody
    asked for a scene that is more easily alarmed. The networks' scores have units of their own: their thresholds lie as
    far above what is normal as before, by the spread of the same frames. No frame of these alarms that did not before.

    Args:
        live: the live scene's.
        before: the live scene's scores of the kept normal frames.
        normal: the candidate's of the same.
        settings: the scene's.
        fitted: whether both were fitted on those.
    """
    own = normal.calibration(*event_times(settings), fitted=fitted)
    if live is None:
        return own
    carried = {kind: _Way(kind, before, normal.scores, settings) for kind in kinds_of(normal.scores)}
    carried = {kind: way for kind, way in carried.items() if kind in live.thresholds}
    return own.model_copy(
        update={
            "frames": live.frames,
            "thresholds": own.thresholds | {k: way.threshold(live.thresholds[k]) for k, way in carried.items()},
            "tails": {kind: carried[kind].tail(tail) for kind, tail in live.tails.items() if kind in carried},
            "limits": {kind: carried[kind].limit(limit) for kind, limit in live.limits.items() if kind in carried},
            "basis": live.basis,
        }
    )


class _Way:
    """The way from scores of the live scene to those of the candidate that are as unusual."""

    def __init__(
        self, kind: ScoreKind, before: Sequence[NormalScore], after: Sequence[NormalScore], settings: Settings
    ) -> None:
        smoothing, least = event_times(settings)
        first, second = (normal_record(scores, kind, smoothing, least) for scores in (before, after))
        self.highest_before, self.highest = first.highest, second.highest
        own = kind in OWN_UNITS
        self._from = None if own else Logistic.of([one.scores.of(kind) for one in before])
        self._to = None if own else Logistic.of([one.scores.of(kind) for one in after])

    def __call__(self, score: float) -> float:
        if self._from is None or self._to is None:
            return score
        return self._to.median + (score - self._from.median) * self.wider

    @property
    def wider(self) -> float:
        return 1.0 if self._from is None or self._to is None else self._to.scale / self._from.scale

    def threshold(self, live: float) -> float:
        carried = self(live)
        quiet = self.highest_before <= live and math.isfinite(self.highest)
        return max(carried, self.highest) if quiet else carried

    def tail(self, tail: Tail) -> Tail:
        scores = tuple(map(self, tail.scores))
        return replace(tail, level=self(tail.level), scale=tail.scale * self.wider, scores=scores)

    def limit(self, limit: ThresholdEstimate) -> ThresholdEstimate:
        interval = limit.threshold_interval
        carried = None if interval is None else (self(interval[0]), self(interval[1]))
        return replace(limit, threshold=self.threshold(limit.threshold), threshold_interval=carried)
