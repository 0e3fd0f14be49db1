"""False alarms of a camera's days beside what its calibration promised.

Alarms of a stable scene are taken as a Poisson process, as its calibration does: events less than its gap apart are
one, so that what is left is nearly independent. The last 1, 3 and 7 days are each tested exactly against the promise.
It is looked every day and at three spans: by Bonferroni each test has LEVEL / 3, so that a scene that keeps its promise
raises less than FALSE_CARDS cards a year, however long it is watched. An excess that nobody would mind, below WORSE
times the promise, raises none. A day with little watching promises little and counts little.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from scipy.special import gammainccinv, gammaincinv, pdtrc  # scipy.stats takes a second to import

from msflow_stream.teaching.drift.finding import DayCount, Finding, Rate

FALSE_CARDS = 0.25  # a year, of a scene that keeps its promise
LEVEL = FALSE_CARDS / 365
WINDOWS = (1, 3, 7)  # days
WORSE = 1.5  # times the promise
EXCESS = 3  # alarms above the promise
LONGEST = 7  # days of the rate that is shown


def poisson_interval(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the exact interval of a Poisson mean (Garwood, Biometrika 28, 1936).

    >>> [round(end, 3) for end in poisson_interval(0)]
    [0.0, 3.689]
    """
    tail = (1 - confidence) / 2
    low = float(gammaincinv(count, tail)) if count else 0.0
    return low, float(gammainccinv(count + 1, tail))


def rate(counts: Sequence[DayCount], promised: float | None) -> Rate | None:
    """Returns the rate of the last days; None where they were not watched. `promised` is per hour."""
    last = counts[-LONGEST:]
    hours = sum(day.hours for day in last)
    if not hours:
        return None
    counted = sum(day.counted for day in last)
    low, high = poisson_interval(counted)
    per_day = 24 / hours
    return Rate(
        days=len(last),
        hours=hours,
        counted=counted,
        unlabelled=sum(day.unlabelled for day in last),
        estimate=counted * per_day,
        low=low * per_day,
        high=high * per_day,
        promised=None if promised is None else 24 * promised,
    )


def more_alarms(counts: Sequence[DayCount], promised: float | None) -> Finding | None:
    """Returns a finding where the last days had more false alarms than promised per hour."""
    if not promised or not counts:
        return None
    tests = [(_chance(counts[-days:], promised), days) for days in WINDOWS if days <= len(counts)]
    chance, days = min(tests)
    last = counts[-days:]
    counted, hours = sum(day.counted for day in last), sum(day.hours for day in last)
    expected = promised * hours
    if chance * len(WINDOWS) >= LEVEL or counted < WORSE * expected or counted < expected + EXCESS:
        return None
    first = _first(counts, promised)
    low, high = (24 * end / hours for end in poisson_interval(counted))
    unlabelled = sum(day.unlabelled for day in last)
    said = f"{counted} false alarms in {_watched(hours)}, {24 * counted / hours:.1f} a day ({low:.1f} to {high:.1f})"
    bound = f"; {unlabelled} of them are not labelled and may have been right" if unlabelled else ""
    return Finding(
        "alarms",
        counts[first].date,
        f"More false alarms than promised: {said}, and {24 * promised:.2g} a day are promised{bound}.",
        "Label its events: what is normal is learnt. Or calibrate it again on an hour of what is normal now.",
        f"by chance alone at most once in {1 / max(chance * len(WINDOWS), 1e-9):,.0f} days",
        {"counted": counted, "hours": hours, "expected": expected, "chance": chance},
    )


def _chance(days: Sequence[DayCount], promised: float) -> float:
    counted, expected = sum(day.counted for day in days), promised * sum(day.hours for day in days)
    return float(pdtrc(counted - 1, expected)) if counted else 1.0


def _first(counts: Sequence[DayCount], promised: float) -> int:
    """The day from which on the likelihood of another, higher rate is greatest beside that of the promise."""
    best, found, counted, expected = 0.0, len(counts) - 1, 0, 0.0
    for position in range(len(counts) - 1, -1, -1):
        counted, expected = counted + counts[position].counted, expected + promised * counts[position].hours
        gain = counted * log(counted / expected) - (counted - expected) if counted > expected > 0 else 0.0
        if gain > best:
            best, found = gain, position
    return found


def _watched(hours: float) -> str:
    return f"{hours:.0f} hours watched" if hours >= 10 else f"{hours:.1f} hours watched"
