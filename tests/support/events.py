"""Events for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msflow_stream.types import Event, EventMessage, Reason, Track

WALL = datetime(2026, 1, 2, 3, 4, 5, 60_000, tzinfo=UTC)
REASON = Reason(
    text="moved at 0.11 widths/s where normal is at most 0.032, to the left, at the lower left; appearance normal",
    trigger="motion",
    index=10,
    time=0.4,
    appearance=0.5,
    motion=6.0,
    view=0.25,
    place="at the lower left",
    at=(0.1, 0.9),
    direction="to the left",
    velocity=(-0.11, 0.0),
    speed=0.11,
    limit=0.032,
)


def event(id: str = "gate-5", **changes: Any) -> Event:
    """An open event of a live camera."""
    values: dict[str, Any] = {
        "id": id,
        "source": "gate",
        "scene": "yard",
        "triggers": ("paper", "surprise"),
        "start": 0.2,
        "end": None,
        "start_wall": WALL,
        "end_wall": None,
        "peak_score": 3.5,
        "peak_index": 10,
        "peak_time": 0.4,
        "probability": 0.001,
        "severity": "medium",
        "regions": ((1, 2, 3, 4), (5, 6, 7, 8)),
        "tracks": (Track(1, 0.2, 0.4, ((0.2, (1, 2, 3, 4)), (0.4, (2, 2, 3, 4)))),),
        "version": 1,
    }
    return Event(**{**values, **changes})


def message(id: str = "gate-5", **changes: Any) -> EventMessage:
    """What is said of such an event: opened as version 1, closed where it has an end."""
    said = event(id, **changes)
    if said.end is not None:
        return EventMessage("close", said)
    return EventMessage("open" if said.version == 1 else "update", said)
