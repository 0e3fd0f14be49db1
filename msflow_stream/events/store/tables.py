"""The table of events: a row for the last version of each, with what a person said of it, and its filter."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Double, Index, Select, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from msflow_stream.events.serialization import event_from_json, event_to_json
from msflow_stream.types import SEVERITIES, Event, Severity, UserError

Label = Literal["normal", "violation"]
EVENT_COLUMNS = tuple(field.name for field in fields(Event))

AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as the store has it.

    Attributes:
        happened: when it began by the clock; for the event of a file, when it was first saved.
        label: what a person said it is.
        kept: its evidence is not to be removed.
    """

    event: Event
    happened: datetime
    label: Label | None
    kept: bool


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone, in UTC; SQLite would lose the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Returns the time as the database gets it."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Returns the time that the database holds, with its zone."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The base of all tables: which columns hold which types."""

    type_annotation_map: ClassVar = {datetime: UtcDateTime, float: Double, int: BigInteger}


class EventRow(Base):
    """A row of the table; its columns are the fields of Event, and `happened`, `label` and `kept`."""

    __tablename__ = "events"
    __table_args__ = (Index("events_by_time", "happened"), Index("events_by_source", "source", "happened"))

    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    scene: Mapped[str]
    triggers: Mapped[list[str]] = mapped_column(JSON)
    start: Mapped[float]
    end: Mapped[float | None]
    start_wall: Mapped[datetime | None]
    end_wall: Mapped[datetime | None]
    peak_score: Mapped[float]
    peak_index: Mapped[int]
    peak_time: Mapped[float]
    probability: Mapped[float | None]
    severity: Mapped[str]
    regions: Mapped[list[Any]] = mapped_column(JSON)
    tracks: Mapped[list[Any]] = mapped_column(JSON)
    version: Mapped[int]
    happened: Mapped[datetime]
    label: Mapped[Label | None]
    kept: Mapped[bool]
    why: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    def stored(self) -> StoredEvent:
        """Returns the event of the row."""
        event = event_from_json({name: getattr(self, name) for name in EVENT_COLUMNS})
        return StoredEvent(event, self.happened, self.label, self.kept)


def event_values(event: Event) -> dict[str, Any]:
    """Returns the columns of an event that are the fields of Event."""
    return {**event_to_json(event), "start_wall": event.start_wall, "end_wall": event.end_wall}


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The conditions that events must meet, all of them; None is met by every event.

    Attributes:
        camera: the source's name.
        since, until: they began at this moment or later, and before this one.
        severity: they are so severe at least.
        label: what a person said of them; "none" where nobody said anything.
        limit: the number of events, only the newest.
    """

    camera: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    severity: Severity | None = None
    label: Label | Literal["none"] | None = None
    limit: int | None = None

    def apply(self, query: Select[Any]) -> Select[Any]:
        """Returns the query with the conditions and the limit."""
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
    """Returns a moment in UTC, written as a date or time in ISO 8601, local where it has no zone, or as a time ago.

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
