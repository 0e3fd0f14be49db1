"""How severe it is that a score was so high."""

from __future__ import annotations

from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.types import Severity

SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high")
RARER = (10, 1000)  # than at the threshold, by so many times: medium, high
FARTHER = (0.5, 1.0)  # above the threshold, in parts of its distance from what is normal: medium, high


def severity_of(trigger: Trigger, peak: float) -> Severity:
    """Of the highest smoothed score of a kind.

    Where the scene is calibrated for probabilities, medium is what a normal frame shows 10 times more rarely than a
    score at the threshold, and high 1000 times. Else, and where the tail ends before the threshold, it is how far above
    the threshold: by half the distance from the normal median to the threshold for medium, by all of it for high.
    Without a median it is the distance from 0.
    """
    at_threshold, at_peak = 0.0, 0.0
    if trigger.probability is not None:
        at_threshold, at_peak = trigger.probability(trigger.threshold), trigger.probability(peak)
    if at_peak < at_threshold:
        reached = [at_peak <= at_threshold / times for times in RARER]
    else:
        reached = [peak - trigger.threshold >= parts * trigger.reach for parts in FARTHER]
    return SEVERITIES[sum(reached)]
