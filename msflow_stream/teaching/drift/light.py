"""Light outside what was learnt: a brightness that the normal footage does not have, at hours that are named.

This is no test but a fact: the model was never shown such frames. It is said once a camera was watched for LEAST
seconds of a day in light that is BESIDE bins or more away from any that was learnt; less, such as a lamp that fails
for a while or a lens that is covered, is no drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from msflow_stream.teaching.drift.days import Day, spans
from msflow_stream.teaching.drift.finding import Finding
from msflow_stream.video.coverage import BRIGHTNESS_BINS, Coverage

LEAST = 1200.0  # seconds of a day
LEAST_OF_HOUR = 300.0  # seconds; an hour with less is not named
BESIDE = 2  # bins of brightness; the next one is as good as learnt
LEAST_SEEN = 5.0  # seconds of footage in a bin
RECENT = timedelta(days=2)  # a card stays for so long after the last such day
FIRST_DAYS, FULL_DAY = 3, 7200.0  # days that stand for footage that is not known, of so many seconds


def light_outside(days: Sequence[Day], coverage: Coverage | None) -> Finding | None:
    """Returns a finding where the last days had light that the footage has not; days of one fit, oldest first."""
    reference = coverage.brightness if coverage is not None and coverage.seconds else None
    if reference is None:
        full = [day for day in days if day.seconds >= FULL_DAY]
        if len(full) <= FIRST_DAYS:
            return None
        first, days = full[:FIRST_DAYS], [day for day in days if day.date > full[FIRST_DAYS - 1].date]
        reference = [sum(hour.brightness[bin] for day in first for hour in day.hours) for bin in range(BRIGHTNESS_BINS)]
    seen = [bin for bin, seconds in enumerate(reference) if seconds >= LEAST_SEEN]
    if not days or not seen:
        return None
    found = [(day, outside) for day in days if sum((outside := _outside(day, seen)).values()) >= LEAST]
    if not found or days[-1].date - found[-1][0].date > RECENT:
        return None
    since = found[-1][0].date
    for day, _ in reversed(found):
        if since - day.date > RECENT:
            break
        since = day.date
    last, outside = found[-1]
    return _finding(last, since, outside, seen)


def _finding(last: Day, since: date, outside: dict[int, float], seen: Sequence[int]) -> Finding:
    named = [hour for hour, seconds in outside.items() if seconds >= LEAST_OF_HOUR] or [
        max(outside, key=lambda hour: outside[hour])
    ]
    bins = [0.0] * BRIGHTNESS_BINS
    for hour in last.hours:
        bins = [sum(pair) for pair in zip(bins, hour.brightness, strict=True)]
    beyond = [bin for bin in range(BRIGHTNESS_BINS) if bins[bin] and _is_outside(bin, seen)]
    darker = sum(bins[bin] for bin in beyond if bin < seen[0])
    word = "darker" if 2 * darker > sum(bins[bin] for bin in beyond) else "brighter"
    hours = " and ".join(f"between {first:02d}:00 and {until:02d}:00" for first, until in spans(named))
    minutes = sum(outside.values()) / 60
    return Finding(
        "light",
        since,
        f"It is {word} than anything that was learnt {hours}: for {minutes:.0f} minutes of {last.date:%-d %B}.",
        f"Record 30 minutes {hours}, and add them to the scene.",
        "a fact: such light is not in what it learnt from",
        {"minutes": minutes, "hours": spans(named)},
    )


def _outside(day: Day, seen: Sequence[int]) -> dict[int, float]:
    """Seconds in light that was not learnt, by hour of the day."""
    found: dict[int, float] = {}
    for hour in day.hours:
        seconds = sum(value for bin, value in enumerate(hour.brightness) if value and _is_outside(bin, seen))
        if seconds:
            found[hour.hour] = found.get(hour.hour, 0.0) + seconds
    return found


def _is_outside(bin: int, seen: Sequence[int]) -> bool:
    return min(abs(bin - one) for one in seen) >= BESIDE
