"""The list of events, newest first."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msflow_stream.events.store import Cursor
from msflow_stream.types import SEVERITIES
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.event_queries import (
    LABELS,
    SPANS,
    TRIGGERS,
    card_of,
    event_of,
    may_judge,
    query_of,
    said_of,
)
from msflow_stream.web.console.routing import call, page

PAGE = 40  # events
LOOKED_AT = 100  # newest events, among which new ones are counted


@page("/events", menu="Events", order=2)
def events(request: Request, console: Console) -> Response:
    """Shows events from a place in the list on."""
    query = query_of(console, request)
    before = request.query_params.get("before")
    found, after = console.store.page(query.which, Cursor.read(before) if before else None, PAGE)
    more = None if after is None else {**query.given, "before": after.text}
    return console.render(
        request,
        "events.html.j2",
        cards=[card_of(console, stored) for stored in found],
        query=query,
        more=more,
        from_newest=not before,
        may_judge=may_judge(console, request),
        choices={
            "camera": {name: name for name in console.cameras(request)},
            "span": SPANS,
            "severity": {name: name for name in SEVERITIES},
            "trigger": TRIGGERS,
            "label": LABELS,
        },
    )


@call("/events.json")
def newest(request: Request, console: Console) -> Response:
    """Answers with the ids of the newest events, by which a page that is open notices new ones."""
    found, _ = console.store.page(query_of(console, request).which, None, LOOKED_AT)
    return JSONResponse({"ids": [stored.event.id for stored in found]})


@call("/events/{id}/said")
def said(request: Request, console: Console) -> Response:
    """Answers with what people said of an event."""
    return JSONResponse(said_of(event_of(console, request)))
