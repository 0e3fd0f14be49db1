"""What a camera's days are compared with, and the form of what is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, get_args

from msflow_stream.video.coverage import Coverage
from msflow_stream.video.view_signature import View

Kind = Literal["alarms", "moved", "light", "scores"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What is known of a scene, whose camera's days are looked at.

    Attributes:
        fit: identity of the fit; days of another one are not compared.
        promised: false alarms per hour that the calibration stands for: those asked for, or as few as its footage
            supports. None where it was calibrated without.
        reach: from the median of normal scores to the threshold: what a shift of scores is measured in.
        coverage, view: of the normal footage; None where the scene has none, then the first days stand for it.
    """

    fit: str
    promised: float | None = None
    reach: float | None = None
    coverage: Coverage | None = None
    view: View | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One drift of a camera.

    Attributes:
        kind: of drift.
        since: the day on which it began, as far as can be told.
        text: what is so, in words.
        advice: what to do, in words.
        sure: how sure it is, in words.
        figures: what it rests on.
    """

    kind: Kind
    since: date
    text: str
    advice: str
    sure: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DayCount:
    """The alarms of a day, and the hours that it was watched.

    Attributes:
        counted: those that count as false: labelled normal, or not labelled.
        unlabelled: of these, those that nobody labelled.
        violations: those that were right.
    """

    date: date
    hours: float
    counted: int = 0
    unlabelled: int = 0
    violations: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """False alarms of the last days beside the promise, per 24 hours of watching.

    Attributes:
        days: number of days, with so many hours watched.
        estimate, low, high: at most so many a day, with the exact 95 % interval of a Poisson rate.
        promised: None where nothing was promised.
        unlabelled: alarms of these that nobody labelled; they may be right, so that the estimate is an upper bound.
    """

    days: int
    hours: float
    counted: int
    unlabelled: int
    estimate: float
    low: float
    high: float
    promised: float | None


@dataclass(frozen=True, slots=True)
class Drift:
    """What the days of a camera say.

    Attributes:
        findings: nothing while all is as it was.
        rate: None where nothing was watched.
        counts: of each day, oldest first.
    """

    findings: Sequence[Finding] = ()
    rate: Rate | None = None
    counts: Sequence[DayCount] = ()
