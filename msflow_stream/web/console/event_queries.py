"""The events that a request is about: those of its filter, or the one with its id; only what the person may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast, get_args
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request

from msflow_stream.events.evidence.event_files import event_files
from msflow_stream.events.store import EventFilter, Label, StoredEvent, parse_moment
from msflow_stream.types import SCORE_KINDS, SEVERITIES, PartName, Severity, UserError
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console

SPANS = {"1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days"}
TRIGGERS = {
    **{name: name for name in get_args(PartName)},
    **{name: name.replace("_", " ") for name in SCORE_KINDS},
    "paper": "paper's score",
    "surprise_mean": "mean surprise",
}
LABELS = {"none": "Not judged", "violation": "Violation", "normal": "Normal", "unsure": "Unsure"}
FILTERS = ("camera", "span", "from", "to", "severity", "trigger", "label", "kept", "text")
MOST_TEXT = 200  # characters that are searched for


@dataclass(frozen=True, slots=True)
class EventQuery:
    """A filter as an address has it.

    Attributes:
        given: the parts of the address that say something, as they were given.
        which: the same for the store, with the cameras that the person may see.
    """

    given: Mapping[str, str]
    which: EventFilter

    @property
    def address(self) -> str:
        """The filter as the end of an address: "" or "?camera=gate&..."."""
        return f"?{urlencode(self.given)}" if self.given else ""


def query_of(console: Console, request: Request) -> EventQuery:
    """Returns the filter in a request's address.

    Raises:
        HTTPException: 404, a camera that there is not for this person.
        UserError: a moment, a severity or a label that is none.
    """
    asked = request.query_params
    given = {name: asked[name].strip() for name in FILTERS if asked.get(name, "").strip()}
    if "camera" in given:
        console.check_camera(request, given["camera"])
    now = datetime.now(UTC)
    since = parse_moment(given["from"], now) if "from" in given else None
    if since is None and "span" in given:
        since = parse_moment(given["span"], now)
    which = EventFilter(
        camera=given.get("camera"),
        since=since,
        until=parse_moment(given["to"], now) if "to" in given else None,
        severity=cast(Severity | None, _one_of(SEVERITIES, given.get("severity"))),
        label=cast(Label | None, _one_of(tuple(LABELS), given.get("label"))),
        cameras=console.user(request).cameras,
        trigger=_one_of(tuple(TRIGGERS), given.get("trigger")),
        kept=True if "kept" in given else None,
        text=given["text"][:MOST_TEXT] if "text" in given else None,
    )
    return EventQuery(given, which)


def event_of(console: Console, request: Request) -> StoredEvent:
    """Returns the event whose id is in a request's path.

    Raises:
        HTTPException: 404, there is none that this person may see.
    """
    found = console.store.exact(request.path_params["id"])
    if found is None or not console.user(request).sees(found.event.source):
        raise HTTPException(404, "there is no such event")
    return found


def may_judge(console: Console, request: Request) -> bool:
    """Returns whether a person may label and keep events."""
    return console.user(request).role.covers(Role.OPERATOR)


def card_of(console: Console, stored: StoredEvent) -> dict[str, Any]:
    """Returns what a list shows of an event."""
    event = stored.event
    files = event_files(console.out, event)
    return {
        "id": event.id,
        "camera": event.source,
        "when": iso(stored.happened),
        "from_file": event.start_wall is None,
        "start": event.start,
        "seconds": None if event.end is None else event.end - event.start,
        "severity": event.severity,
        "triggers": [TRIGGERS.get(name, name) for name in event.triggers],
        "why": None if event.why is None else event.why.text,
        "version": event.version,
        "has_stills": files is not None and bool(files.stills),
        "overlay": files.overlays[0].file if files is not None and files.overlays else None,
        **said_of(stored),
    }


def said_of(stored: StoredEvent) -> dict[str, Any]:
    """Returns what people said of an event."""
    return {
        "id": stored.event.id,
        "label": stored.label,
        "kept": stored.kept,
        "note": stored.note,
        "labelled_by": stored.labelled_by,
        "labelled_at": None if stored.labelled_at is None else iso(stored.labelled_at),
    }


def iso(moment: datetime) -> str:
    """Returns a moment as browsers read it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def only_unlabelled(query: EventQuery) -> EventFilter:
    """Returns the filter for events that nobody has judged."""
    return replace(query.which, label="none")


def _one_of(known: tuple[str, ...], given: str | None) -> str | None:
    if given is not None and given not in known:
        raise UserError(f"{given!r} is none of {', '.join(known)}")
    return given
