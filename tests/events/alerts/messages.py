"""Event messages for the tests of alerts, and what their receivers got."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from msflow_stream.config.alerts import Alert
from msflow_stream.config.cameras import Backoff
from msflow_stream.events.alerts.sinks.base import AlertMessage
from msflow_stream.events.serialization import encode
from msflow_stream.types import Event, EventMessage, Reason, Severity, Track

START = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)
QUICK = Backoff(first=0.02, ceiling=0.1)


def a_message(
    kind: Literal["open", "update", "close"],
    id: str = "gate-1",
    version: int = 1,
    *,
    source: str = "gate",
    severity: Severity = "low",
    triggers: tuple[str, ...] = ("paper",),
    lasted: float = 4.0,
    why: Reason | None = None,
) -> AlertMessage:
    """Returns a message, as it comes out of a queue."""
    over = kind == "close"
    event = Event(
        id=id,
        source=source,
        scene="gate",
        triggers=triggers,
        start=10.0,
        end=10.0 + lasted if over else None,
        start_wall=START,
        end_wall=START + timedelta(seconds=lasted) if over else None,
        peak_score=3.5,
        peak_index=55,
        peak_time=11.0,
        probability=1e-5,
        severity=severity,
        regions=((10, 20, 30, 40),),
        tracks=(Track(1, 10.0, 11.0, ((10.0, (10, 20, 30, 40)), (11.0, (12, 20, 30, 40)))),),
        version=version,
        why=why,
    )
    return AlertMessage.read(encode(EventMessage(kind, event)))


def life(id: str = "gate-1", updates: int = 1, **options: Any) -> list[AlertMessage]:
    """Returns all messages of an event."""
    middle = [a_message("update", id, version, **options) for version in range(2, updates + 2)]
    return [a_message("open", id, **options), *middle, a_message("close", id, updates + 2, **options)]


def known_by(messages: Sequence[EventMessage]) -> list[tuple[str, int]]:
    """Returns the ids and versions by which receivers know messages."""
    return [(message.event.id, message.event.version) for message in messages]


def settings(**values: Any) -> Any:
    """Returns settings of an alert, as they are read from a file."""
    return TypeAdapter[Alert](Alert).validate_python(values)


def dead(path: Path) -> list[tuple[str, str, int]]:
    """Returns the reasons, ids and versions in a file of dead letters."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(one["reason"], one["message"]["event"]["id"], one["message"]["event"]["version"]) for one in lines]


def without_repeats(items: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Returns each once, as a receiver sees them that knows messages by id and version."""
    return list(dict.fromkeys(items))
