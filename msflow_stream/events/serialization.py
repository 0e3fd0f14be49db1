"""Events and their messages as JSON: for sinks, queues on disk, the store and event.json."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from msflow_stream.types import Event, EventMessage


def to_json(message: EventMessage) -> dict[str, Any]:
    """Returns the JSON object: `kind`, `event` with its times of arrival as ISO 8601 in UTC, and `lease` if it has one.

    >>> to_json(EventMessage("open", event))
    {'kind': 'open', 'event': {'id': 'gate-00000005', ..., 'start_wall': '2026-01-02T03:04:05Z', ...}}
    """
    values: dict[str, Any] = {"kind": message.kind, "event": event_to_json(message.event)}
    if message.lease is not None:
        values["lease"] = {"fence": message.lease.fence, "at": message.lease.at.astimezone(UTC).isoformat()}
    return values


def encode(message: EventMessage) -> str:
    """Returns the JSON object on one line."""
    return json.dumps(to_json(message), ensure_ascii=False, separators=(",", ":"))


def from_json(values: object) -> EventMessage:
    """Returns the message that `to_json` wrote; keys that it does not know are left out.

    Raises:
        ValueError: the values are no message, in one line that says why.
    """
    message: EventMessage = _read(_adapter(EventMessage), values)
    return replace(message, event=_in_utc(message.event))


def event_to_json(event: Event) -> dict[str, Any]:
    """Returns an event by itself, as `to_json` has it under `event`."""
    values: dict[str, Any] = _adapter(Event).dump_python(_in_utc(event), mode="json")
    return values


def event_from_json(values: object) -> Event:
    """Returns the event that `event_to_json` wrote.

    Raises:
        ValueError: the values are no event, in one line that says why.
    """
    event: Event = _read(_adapter(Event), values)
    return _in_utc(event)


@cache
def _adapter(kind: type[Event] | type[EventMessage]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _read(adapter: TypeAdapter[Any], values: object) -> Any:
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ValueError(f"this is not an event's JSON: {place}: {first['msg']}") from None


def _in_utc(event: Event) -> Event:
    return replace(event, start_wall=_utc(event.start_wall), end_wall=_utc(event.end_wall))


def _utc(wall: datetime | None) -> datetime | None:
    return None if wall is None else wall.astimezone(UTC)
