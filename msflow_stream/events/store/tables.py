"""How an event lies in the database: a row of its last version, and what a person said of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Double, Index, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from msflow_stream.events.serialization import event_from_json, event_to_json
from msflow_stream.types import Event

Label = Literal["normal", "violation"]
EVENT_COLUMNS = tuple(field.name for field in fields(Event))


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
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    type_annotation_map: ClassVar = {datetime: UtcDateTime, float: Double, int: BigInteger}


class EventRow(Base):
    """The columns up to `version` are the fields of Event."""

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

    def stored(self) -> StoredEvent:
        event = event_from_json({name: getattr(self, name) for name in EVENT_COLUMNS})
        return StoredEvent(event, self.happened, self.label, self.kept)


def event_values(event: Event) -> dict[str, Any]:
    """What the columns of an event hold."""
    return {**event_to_json(event), "start_wall": event.start_wall, "end_wall": event.end_wall}
