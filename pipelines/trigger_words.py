"""What events are judged by, in words: each threshold, and what it was set for."""

from __future__ import annotations

from collections.abc import Sequence

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.results.wording import every
from msflow_stream.scenes.calibration import Calibration


def trigger_words(triggers: Sequence[Trigger], score: ScoreSettings, calibration: Calibration | None) -> str:
    """Such as "paper above 0.91 (highest held-out score), surprise above 3.3 (highest held-out score)"."""
    if not triggers:
        return "no threshold, so no events: fit or calibrate the scene, or give score.threshold"
    return ", ".join(
        f"{trigger.kind} above {trigger.threshold:.4g} ({_set_for(trigger, score, calibration)})"
        for trigger in triggers
    )


def _set_for(trigger: Trigger, score: ScoreSettings, calibration: Calibration | None) -> str:
    if calibration is None or (trigger.kind == score.kind and score.threshold is not None):
        return "as given"
    fitted = calibration.frames == 0
    limit = None if calibration.basis is None else calibration.limits.get(trigger.kind)
    if limit is None or limit.rate is None:
        unknown = "" if limit is None else ", at no known rate of false alarms"
        return f"highest {'fitted' if fitted else 'held-out' if limit is None else 'normal'} score{unknown}"
    return f"calibrated{' on fitted frames' * fitted} for false alarms: {every(limit.rate)}"
