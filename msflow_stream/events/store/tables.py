"""The table of events: a row for the last version of each, with what a person said of it, and its filter."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal, NamedTuple

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    Select,
    String,
    TypeDecorator,
    cast,
    or_,
    text,
    tuple_,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from msflow_stream.events.serialization import event_from_json, event_to_json
from msflow_stream.types import SEVERITIES, Event, Severity, UserError

Label = Literal["violation", "normal", "unsure"]
EVENT_COLUMNS = tuple(field.name for field in fields(Event))
NUMBER = BigInteger().with_variant(Integer(), "sqlite")  # only an INTEGER counts by itself there
STILL_OPEN = text('"end" IS NULL')
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as the store has it.

    Attributes:
        happened: when it began by the clock; for the event of a file, when it was first saved.
        label: what a person said it is.
        kept: its evidence is not to be removed.
        note: what a person wrote about it.
        labelled_by, labelled_at: who gave the label, and when; None where nobody did, or before that was noted.
    """

    event: Event
    happened: datetime
    label: Label | None
    kept: bool
    note: str | None = None
    labelled_by: str | None = None
    labelled_at: datetime | None = None


class LabelledRow(NamedTuple):
    """What tells whether something is new of an event that has a label; its own facts are not looked at."""

    id: str
    source: str
    scene: str
    label: str
    labelled_at: datetime | None
    version: int
    end: float | None
    end_wall: datetime | None

    def is_over(self, before: datetime) -> bool:
        """Returns whether the event is over, and was at a moment by the clock; those of files have none."""
        return self.end is not None and (self.end_wall is None or self.end_wall <= before)


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
    """A row of the table; its columns are the fields of Event, and those of StoredEvent.

    What filters look at is in the indices, so that rows that do not match are not read.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("events_by_time", "happened", "id", "severity", "source", "label", "kept"),
        Index("events_by_source", "source", "happened", "id", "severity", "label", "kept"),
        Index("events_by_label", "label", "happened", "id", "severity", "source"),
        Index("events_open", "source", postgresql_where=STILL_OPEN, sqlite_where=STILL_OPEN),
    )

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
    note: Mapped[str | None]
    labelled_by: Mapped[str | None]
    labelled_at: Mapped[datetime | None]
    fence: Mapped[int | None]  # of the lease under which it was saved last

    def stored(self) -> StoredEvent:
        """Returns the event of the row."""
        event = event_from_json({name: getattr(self, name) for name in EVENT_COLUMNS})
        said = (self.label, self.kept, self.note, self.labelled_by, self.labelled_at)
        return StoredEvent(event, self.happened, *said)


class DecisionRow(Base):
    """A decision of a person about one event or many."""

    __tablename__ = "event_decisions"

    id: Mapped[int] = mapped_column(NUMBER, primary_key=True, autoincrement=True)
    by: Mapped[str]
    decided: Mapped[datetime]


class ChangeRow(Base):
    """What a decision changed of one event: what it set, as it was before and after."""

    __tablename__ = "event_changes"
    __table_args__ = (Index("event_changes_by_decision", "decision"),)

    event: Mapped[str] = mapped_column(primary_key=True)
    decision: Mapped[int] = mapped_column(primary_key=True)
    before: Mapped[dict[str, Any]] = mapped_column(JSON)
    after: Mapped[dict[str, Any]] = mapped_column(JSON)
    undone_by: Mapped[str | None]
    undone_at: Mapped[datetime | None]


def event_values(event: Event) -> dict[str, Any]:
    """Returns the columns of an event that are the fields of Event."""
    return {**event_to_json(event), "start_wall": event.start_wall, "end_wall": event.end_wall}


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the events, newest first: behind the one that happened then and has this id."""

    happened: datetime
    id: str

    @property
    def text(self) -> str:
        """The cursor as a text, for an address."""
        return f"{(self.happened - EPOCH) // timedelta(microseconds=1)}-{self.id}"

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Returns the cursor of such a text.

        Raises:
            UserError: it is none.
        """
        moment, dash, id = text.partition("-")
        try:
            if not (dash and id and "\0" not in id and moment.isascii() and moment.isdecimal() and len(moment) < 19):
                raise ValueError
            return cls(EPOCH + timedelta(microseconds=int(moment)), id)
        except (ValueError, OverflowError):
            raise UserError("this is no place in the events: begin with the newest") from None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The conditions that events must meet, all of them; None is met by every event.

    Attributes:
        camera: the source's name.
        cameras: the source's name is one of these; those that a person may see.
        since, until: they began at this moment or later, and before this one.
        severity: they are so severe at least.
        label: what a person said of them; "none" where nobody said anything.
        trigger: a kind of score that is among their triggers.
        kept: whether their evidence is not to be removed.
        text: it is in their id, their note, or in what was unusual, in capitals or not.
        limit: the number of events, only the newest.
    """

    camera: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    severity: Severity | None = None
    label: Label | Literal["none"] | None = None
    limit: int | None = None
    cameras: frozenset[str] | None = None
    trigger: str | None = None
    kept: bool | None = None
    text: str | None = None

    def apply(self, query: Select[Any]) -> Select[Any]:
        """Returns the query with the conditions and the limit."""
        return self.conditions(query).limit(self.limit)

    def conditions(self, query: Select[Any]) -> Select[Any]:
        """Returns the query with the conditions."""
        if self.cameras is not None:
            # Of a computed value, as with an index by source the events of many sources would have to be sorted.
            query = query.where(EventRow.source.concat("").in_(sorted(self.cameras)))
        if self.camera is not None:
            query = query.where(EventRow.source == _clean(self.camera))
        if self.since is not None:
            query = query.where(EventRow.happened >= self.since)
        if self.until is not None:
            query = query.where(EventRow.happened < self.until)
        if self.severity is not None:
            query = query.where(EventRow.severity.in_(SEVERITIES[SEVERITIES.index(self.severity) :]))
        if self.label is not None:
            query = query.where(EventRow.label == (None if self.label == "none" else self.label))
        if self.kept is not None:
            query = query.where(EventRow.kept == self.kept)
        if self.trigger is not None:
            quoted = json.dumps(self.trigger)  # which has no zero byte
            query = query.where(cast(EventRow.triggers, String).contains(quoted, autoescape=True))
        return query if self.text is None else query.where(_found_in(self.text))


def behind(query: Select[Any], cursor: Cursor | None) -> Select[Any]:
    """Returns the query of events from a place on, newest first."""
    if cursor is not None:
        query = query.where(tuple_(EventRow.happened, EventRow.id) < (cursor.happened, cursor.id))
    return query.order_by(EventRow.happened.desc(), EventRow.id.desc())


def _clean(text: str) -> str:
    """Returns a text that every database takes."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _found_in(text: str) -> ColumnElement[bool]:
    words = _clean(text)
    places = (EventRow.id, EventRow.note, EventRow.why["text"].as_string())
    return or_(*(place.icontains(words, autoescape=True) for place in places))


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
