"""Scores that creep up over days: leaves, seasons, a lens that grows dirty.

Each hour of a day is compared with the same hour of the first full days, by the median and the 0.9 quantile of its
smoothed scores, and a day is the weighted median of its hours: a rank that a busy hour or an event does not move. Days
then go into a one-sided CUSUM (Page, Biometrika 41, 1954) with the reference value ALLOWED and the decision value
DECIDED, in deviations of the first days, each day clipped to MOST of them. Where the deviation is right, a stable scene
raises one card in about (exp(2 k (h + 1.17)) - 1 - 2 k (h + 1.17)) / (2 k^2) = 113,000 days (Siegmund, Sequential
Analysis, 1985). The deviation is known from few days only: its upper SURE limit (chi-square) is taken, and never less
than LEAST_DEVIATION. A creep below LEAST_SHIFT of the way from the normal median to the threshold is not said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
from scipy.special import chdtri

from msflow_stream.teaching.drift.days import Day, HourFacts, merged
from msflow_stream.teaching.drift.finding import Finding

FIRST_DAYS, LEAST_DAYS = 7, 5  # the reference: the first days; fewer than the latter tell too little
FULL_DAY = 7200.0  # seconds that a day must be watched to be one of them
HALF_WEIGHT = 4 * 3600.0  # seconds; a day of so much watching counts half
ALLOWED, DECIDED, MOST = 1.0, 5.0, 4.0  # deviations
SURE = 0.9
LEAST_DEVIATION = 0.02  # of the way to the threshold
LEAST_SHIFT = 0.08  # of the way to the threshold
LEAST_HOUR = 900.0  # seconds; an hour that was watched for less has no quantiles to speak of

Levels = dict[int, tuple[float, float]]  # median and 0.9 quantile by hour of the day


def scores_creep(days: Sequence[Day], reach: float | None) -> Finding | None:
    """Returns a finding where scores have crept up; `reach` is the way to the threshold."""
    full = [day for day in days if day.seconds >= FULL_DAY]
    if not reach or reach <= 0 or len(full) < LEAST_DAYS:
        return None
    first = full[:FIRST_DAYS]
    usual = _usual([_levels(day) for day in first])
    before = [one for day in first if (one := _shift(day, usual, reach)) is not None]
    later = [day for day in days if day.date > first[-1].date]
    if len(before) < LEAST_DAYS or not later:
        return None
    found = _cusum([(day, one) for day in later if (one := _shift(day, usual, reach)) is not None], before)
    if found is None:
        return None
    since, shift, count = found
    return Finding(
        "scores",
        since,
        f"Scores creep up: they are {shift:.0%} of the way to the threshold higher than on the first days.",
        "Record 30 minutes of what is normal now, at the hours that matter, and add them to the scene; clean the lens.",
        f"{count} days agree; a stable scene says so less than once in ten years",
        {"shift": shift, "days": count},
    )


def _cusum(days: Sequence[tuple[Day, float]], before: Sequence[float]) -> tuple[date, float, int] | None:
    """The day that the excess began, its size now, and its days; None where there is none."""
    middle = float(np.median(before))
    freedom = len(before) - 1
    deviation = float(np.std(before, ddof=1)) * (freedom / float(chdtri(freedom, SURE))) ** 0.5
    deviation = max(deviation, LEAST_DEVIATION)
    total, run = 0.0, list[tuple[Day, float]]()
    for day, shift in days:
        weight = day.seconds / (day.seconds + HALF_WEIGHT)
        total = max(0.0, total + weight * (np.clip((shift - middle) / deviation, -MOST, MOST) - ALLOWED))
        run = [*run, (day, shift)] if total else []
    if total < DECIDED:
        return None
    now = float(np.median([shift for _, shift in run[-3:]])) - middle
    return (run[0][0].date, now, len(run)) if now >= LEAST_SHIFT else None


def _shift(day: Day, usual: Levels, reach: float) -> float | None:
    """How much higher a day's scores are than usual at its hours; None where no hour can be compared."""
    levels = {hour: one for hour, one in _levels(day).items() if hour in usual}
    if not levels:
        return None
    return float(np.median([np.mean(np.subtract(one, usual[hour])) for hour, one in levels.items()])) / reach


def _usual(days: Sequence[Levels]) -> Levels:
    """The medians over days of each hour that most days have."""
    hours = {hour for day in days for hour in day}
    found: Levels = {}
    for hour in hours:
        there = [day[hour] for day in days if hour in day]
        if 2 * len(there) > len(days):
            low, high = np.median(there, axis=0)
            found[hour] = float(low), float(high)
    return found


def _levels(day: Day) -> Levels:
    found: Mapping[int, list[HourFacts]] = merged(part for part in day.hours if part.scores)
    levels: Levels = {}
    for hour, parts in found.items():
        seconds = [part.seconds for part in parts]
        if sum(seconds) >= LEAST_HOUR:
            low, high = (float(np.average([part.scores[at] for part in parts], weights=seconds)) for at in (0, 1))
            levels[hour] = low, high
    return levels
