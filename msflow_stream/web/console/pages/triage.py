"""Triage: events that nobody has judged, in groups of similar ones; one decision covers a group."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from msflow_stream.events.evidence.event_files import event_files, event_stills
from msflow_stream.events.grouping import EventGroup, group_events
from msflow_stream.events.store import StoredEvent
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.event_queries import (
    SPANS,
    TRIGGERS,
    iso,
    may_judge,
    only_unlabelled,
    query_of,
)
from msflow_stream.web.console.routing import page

AT_ONCE = 500  # the newest events, which are grouped


@page("/triage", menu="Triage", order=3)
def triage(request: Request, console: Console) -> Response:
    """Shows the groups of what is still to be judged."""
    query = query_of(console, request)
    found, after = console.store.page(only_unlabelled(query), None, AT_ONCE)
    return console.render(
        request,
        "triage.html.j2",
        groups=[group_of(console, group) for group in group_events(found)],
        events=len(found),
        has_more=after is not None,
        query=query,
        cameras=console.cameras(request),
        spans=SPANS,
        may_judge=may_judge(console, request),
    )


def group_of(console: Console, group: EventGroup) -> dict[str, Any]:
    """Returns what the page shows of a group."""
    telling = event_files(console.out, group.telling.event)
    overlays = telling.overlays if telling is not None else ()
    return {
        "key": group.key,
        "camera": group.camera,
        "place": group.place,
        "direction": group.direction,
        "triggers": [TRIGGERS.get(name, name) for name in group.triggers],
        "why": None if group.telling.event.why is None else group.telling.event.why.text,
        "telling": group.telling.event.id,
        "overlay": overlays[0].file if overlays else None,
        "members": [_member(console, stored) for stored in group.events],
    }


def _member(console: Console, stored: StoredEvent) -> dict[str, Any]:
    event = stored.event
    return {
        "id": event.id,
        "when": iso(stored.happened),
        "severity": event.severity,
        "version": event.version,
        "has_stills": bool(event_stills(console.out, event)),
    }
