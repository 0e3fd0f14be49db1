"""The floors of a scene: the lowest thresholds that the dial has, down to which everything that matters is recorded."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from msflow_stream.config.settings import Settings
from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.scenes.recalibration import ThresholdFinder
from msflow_stream.scenes.thresholds import NormalScore, read_normal_scores
from msflow_stream.types import UserError

log = logging.getLogger(__name__)

OFTENEST = 12.0  # false alarms per hour, at most, on the dial
SHARE = 0.6  # of the way from normal to the threshold, where there are no scores of normal frames
ROOM = 0.02  # of that way: thresholds of other rates may lie a little lower, as their tails begin elsewhere


def lowest_triggers(folder: Path, settings: Settings, triggers: tuple[Trigger, ...]) -> tuple[Trigger, ...]:
    """Returns a scene's triggers with the lowest thresholds that may be asked for.

    Args:
        folder: the scene's folder, with the scores of its normal frames or not.
        settings: the scene's.
        triggers: those of today; their thresholds are no lower than the ones returned.
    """
    try:
        scores = read_normal_scores(folder)
    except UserError:
        scores = []
    return tuple(replace(trigger, threshold=floor(trigger, scores, settings)) for trigger in triggers)


def floor(trigger: Trigger, scores: list[NormalScore], settings: Settings) -> float:
    """Returns the lowest threshold of a trigger."""
    try:
        lowest = ThresholdFinder(scores, trigger.kind, settings).threshold(OFTENEST)
    except UserError:  # no such score
        return trigger.threshold - (1 - SHARE) * trigger.margin
    margin = trigger.margin if trigger.normal is None else abs(lowest - trigger.normal)
    return min(trigger.threshold, lowest - ROOM * margin)
