"""Calibrations and thresholds in plain words: rates, lengths of time, and what the footage supports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.events.detection.triggers import Trigger, default_triggers
from msflow_stream.scenes.calibration import Calibration, CalibrationBasis
from msflow_stream.scenes.tails.fitting import BEYOND, CONFIDENCE, FEWEST, Interval, ThresholdEstimate, supported_rate
from msflow_stream.scenes.thresholds import CalibratedKind
from msflow_stream.types import ScoreKind

POOR_FIT = 0.05  # p-values below it are worth a word
FEW = 20  # excursions, below which the tail is a guess
NEVER = 1e-4  # alarms an hour: one in more than a year
SECOND, MINUTE, DAY = 1 / 3600, 1 / 60, 24.0  # in hours


def calibration_wording(
    calibration: Calibration, found: Mapping[ScoreKind, CalibratedKind], judged_by: ScoreKind, seen: Sequence[str] = ()
) -> list[str]:
    """Returns what a calibration rests on and promises, in sentences of one line each.

    Args:
        calibration: a calibration with a basis.
        found: the statistics that it was made from.
        judged_by: the kind of score that the scene is judged by.
        seen: names of sources that the scene may have been fitted on.
    """
    basis = calibration.basis
    assert basis is not None
    lines = [_footage(basis)]
    if calibration.frames == 0:
        lines.append(
            "These are the frames that the scene was fitted on, and others score higher: expect more alarms than this "
            "says, or give footage that was not fitted with --normal."
        )
    if seen:
        lines.append(f"Given here and fitted before, by their names: {', '.join(seen)}. Fitted frames score lower.")
    fitted = [one.fit for one in found.values() if one.fit is not None]
    if fitted and basis.supported is not None and basis.asked < basis.supported:
        lines.append(_too_short(basis.asked, basis.hours, basis.supported))
    lines += [line for kind, one in found.items() for line in _about(kind, one, basis)]
    if len(fitted) > 1:
        kinds = default_triggers(judged_by)
        together = "the rate is that of all alarms together" if len(kinds) == 1 else "each with that rate of its own"
        lines.append(f"Events are triggered by {' and '.join(kinds)}, unless settings say otherwise: {together}.")
    return lines


def calibration_summary(calibration: Calibration, judged_by: ScoreKind) -> str:
    """Returns the same in one sentence, for a log: what is promised, and of how much footage.

    Args:
        calibration: a calibration with a basis.
        judged_by: the kind of score that the scene is judged by.
    """
    basis = calibration.basis
    assert basis is not None
    kinds = [kind for kind in default_triggers(judged_by) if kind in calibration.thresholds]
    limits = [limit for kind in kinds if (limit := calibration.limits.get(kind)) is not None]
    rates = [limit.rate for limit in limits if limit.rate is not None]
    levels = ", ".join(f"{kind} above {figure(calibration.thresholds[kind])}" for kind in kinds)
    promise = f"false alarms {every(max(rates))}" if rates else "at no known rate of false alarms"
    short = basis.supported is not None and basis.asked < basis.supported
    asked = f"; {every(basis.asked)} was asked for, which takes more footage" if short else ""
    return f"calibrated on {span(basis.hours)} of normal scores: {levels}, {promise}{asked}"


def _footage(basis: CalibrationBasis) -> str:
    number = len(basis.sources)
    return (
        f"Normal footage: {span(basis.hours)} in {number} source{'s' * (number > 1)}; "
        f"alarms no more than {basis.gap:g} s apart count as one."
    )


def support_wording(rate: float, hours: float) -> str:
    """Returns whether so much normal footage supports a rate of false alarms, and how much more is needed."""
    if not hours:
        return "The normal footage has no length, so no rate can be told."
    supported = supported_rate(hours)
    if rate < supported:
        return _too_short(rate, hours, supported)
    return f"{span(hours)} of normal footage supports {every(rate)} (at best {every(supported)})."


def _too_short(rate: float, hours: float, supported: float) -> str:
    more = 1 / (BEYOND * rate) - hours
    return (
        f"That is too short for {every(rate)}: footage supports one alarm in {BEYOND} times its length, so that "
        f"{span(more)} more is needed (--normal). The thresholds are those for the best that it supports, "
        f"{every(supported)}."
    )


def _about(kind: ScoreKind, found: CalibratedKind, basis: CalibrationBasis) -> list[str]:
    limit, fit = found.estimate, found.fit
    if fit is None or limit.rate is None:
        return [f"{kind}: {_without_tail(found)}"]
    lines = []
    if limit.rate < basis.asked:
        lines.append(f"{kind}: the footage has no level with {basis.asked:g} alarms per hour; this one has the most.")
    lines.append(f"{kind}: above {figure(limit.threshold)} expect {every(limit.rate)}, {_surely(limit)}.")
    if found.fit is not None and fit.tail.excursions < FEW:
        lines.append(f"{kind}: only {fit.tail.excursions} separate rises of the score to learn from: a rough guess.")
    if fit.diagnostics.p_value < POOR_FIT:
        lines.append(f"{kind}: its highest scores do not follow the fitted curve well; trust this less than it says.")
    return lines


def _without_tail(found: CalibratedKind) -> str:
    if found.record.values.min() == found.record.values.max():
        why = "the score never changes"
    else:
        why = f"fewer than {FEWEST} separate rises of the score, or no length of time"
    most = found.estimate.rate_interval
    bound = "" if most is None else f" All that can be said is: no more than about {every(most[1])}."
    return f"{why}, so no rate can be told; the threshold is the highest normal score.{bound} Give more normal footage."


def _surely(limit: ThresholdEstimate) -> str:
    assert limit.rate_interval is not None
    least, most = limit.rate_interval
    return f"with {CONFIDENCE:.0%} confidence between {every(least)} and {every(most)}"


def trigger_wording(triggers: Sequence[Trigger], score: ScoreSettings, calibration: Calibration | None) -> str:
    """Returns the thresholds in words, such as "paper above 0.91 (as given), surprise above 3.3 (calibrated ...)"."""
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


def every(rate: float) -> str:
    """Returns an alarm rate as a person would say it."""
    if rate < NEVER:
        return "practically none"
    return f"{rate:.3g} an hour" if rate >= 1 else f"one in {span(1 / rate)}"


def span(hours: float) -> str:
    """Returns a length of time in the unit that suits it."""
    for unit, length in (("days", DAY), ("hours", 1.0), ("minutes", MINUTE)):
        if hours >= 2 * length:
            return f"{hours / length:.3g} {unit}"
    return f"{hours / SECOND:.3g} seconds"


def figure(value: float | None) -> str:
    """Returns a number in four digits, or a dash for what is not known."""
    return "–" if value is None else f"{value:.4g}"


def interval(ends: Interval | None) -> str:
    """Returns both ends of an interval, or a dash for what is not known."""
    return "–" if ends is None else f"{ends[0]:.4g} to {ends[1]:.4g}"
