"""Spans of time that a report is about, by the clock of this machine: shifts, days, weeks, or from one moment on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from msflow_stream.types import UserError

MOST_DAYS = 31
DAY = timedelta(days=1)
SHIFT = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*[-–]\s*([01]?\d|2[0-3]):([0-5]\d)")
WEEK = re.compile(r"(\d{4})-?W(\d{1,2})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time.

    Attributes:
        since, until: its first moment, and the first after it, with the machine's zone.
        name: what a person calls it, such as "week 2026-W48".
    """

    since: datetime
    until: datetime
    name: str

    @property
    def text(self) -> str:
        """It in words, with the zone."""
        return f"{minute(self.since)} to {minute(self.until)} ({self.zone})"

    @property
    def zone(self) -> str:
        """The machine's zone; both where the clocks are changed within the span."""
        return " and ".join(dict.fromkeys(_zone(moment.astimezone()) for moment in (self.since, self.until)))

    @property
    def hours(self) -> float:
        """Its length."""
        return (self.until - self.since) / timedelta(hours=1)


def span_of(since: datetime, until: datetime, name: str = "") -> Span:
    """Returns the span between two moments.

    Raises:
        UserError: it is empty, or too long for a report.
    """
    if until <= since:
        raise UserError(f"the report would end ({minute(until)}) before it begins ({minute(since)})")
    if until - since > MOST_DAYS * DAY + timedelta(hours=2):  # of clocks that are changed
        raise UserError(f"a report is about at most {MOST_DAYS} days: give a later beginning or an earlier end")
    return Span(since.astimezone(), until.astimezone(), name)


def shift_span(text: str, day: date | None, now: datetime) -> Span:
    """Returns a shift such as 22:00-06:00, which begins on a day; None: the last one that has begun.

    Raises:
        UserError: it is none.
    """
    found = SHIFT.fullmatch(text.strip())
    if found is None or found[1].zfill(2) + found[2] == found[3].zfill(2) + found[4]:
        raise UserError(f"{text!r} is no shift: give the times at which it begins and ends, such as 22:00-06:00")
    begins, ends = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    chosen = day or now.astimezone().date()
    if day is None and local(chosen, begins) > now:
        chosen -= DAY
    last = chosen + DAY if ends < begins else chosen
    return span_of(local(chosen, begins), local(last, ends), f"shift {begins:%H:%M}–{ends:%H:%M} of {chosen}")


def day_span(day: date) -> Span:
    """Returns a day from midnight to midnight."""
    return span_of(local(day), local(day + DAY), f"day {day}")


def week_span(text: str) -> Span:
    """Returns a week such as 2026-W48, from Monday to Sunday.

    Raises:
        UserError: it is none.
    """
    found = WEEK.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        monday = date.fromisocalendar(int(found[1]), int(found[2]), 1)
        return span_of(local(monday), local(monday + 7 * DAY), f"week {found[1]}-W{int(found[2]):02d}")
    except (ValueError, OverflowError):
        raise UserError(f"{text!r} is no week: give one such as 2026-W48") from None


def day_of(text: str) -> date:
    """Returns the day that a text such as 2026-11-28 names.

    Raises:
        UserError: it is none.
    """
    try:
        found = date.fromisoformat(text.strip())
        local(found), local(found + DAY)
        return found
    except (ValueError, OverflowError, OSError):
        raise UserError(f"{text!r} is no day: give one such as 2026-11-28") from None


def local(day: date, at: time = time()) -> datetime:
    """Returns a moment by the clock of this machine."""
    return datetime.combine(day, at).astimezone()


def minute(moment: datetime) -> str:
    """Returns a moment by the clock of this machine, to the minute."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def second(moment: datetime) -> str:
    """Returns a moment by the clock of this machine, to the second."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _zone(moment: datetime) -> str:
    offset = moment.strftime("%z")
    name, shift = moment.tzname() or "", f"UTC{offset[:3]}:{offset[3:5]}"
    if offset == "+0000":
        return "UTC"
    return shift if not name or name[0] in "+-" else f"{name}, {shift}"
