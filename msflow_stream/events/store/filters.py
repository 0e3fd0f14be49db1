"""Which events are asked for, and how people write moments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Select

from msflow_stream.events.store.tables import EventRow, Label
from msflow_stream.types import Severity, UserError

SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high")
AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Events that meet all of these; None meets every event.

    Attributes:
        camera: the source's name.
        since, until: they began at this moment or later, and before this one.
        severity: so severe at least.
        label: what a person said of them; "none" where nobody said anything.
        limit: only the newest.
    """

    camera: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    severity: Severity | None = None
    label: Label | Literal["none"] | None = None
    limit: int | None = None

    def apply(self, query: Select[Any]) -> Select[Any]:
        """The query with its conditions and its limit."""
        if self.camera is not None:
            query = query.where(EventRow.source == self.camera)
        if self.since is not None:
            query = query.where(EventRow.happened >= self.since)
        if self.until is not None:
            query = query.where(EventRow.happened < self.until)
        if self.severity is not None:
            query = query.where(EventRow.severity.in_(SEVERITIES[SEVERITIES.index(self.severity) :]))
        if self.label is not None:
            query = query.where(EventRow.label == (None if self.label == "none" else self.label))
        return query.limit(self.limit)


def parse_moment(text: str, now: datetime) -> datetime:
    """A moment as people write it, in UTC: a date or time in ISO 8601, local where it has no zone, or a time ago.

    Raises:
        UserError: it is neither.

    >>> parse_moment("2h", datetime(2026, 1, 2, 12, tzinfo=UTC))
    datetime.datetime(2026, 1, 2, 10, 0, tzinfo=datetime.timezone.utc)
    """
    ago = AGO.fullmatch(text.strip())
    try:
        if ago:
            return now.astimezone(UTC) - timedelta(**{UNITS[ago[2]]: float(ago[1])})
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UserError(f"{text!r} is no moment: give 30m, 2h, 7d, 2026-01-31 or 2026-01-31T18:30") from None
