"""Decisions about events: labels, notes and what is kept, of one event or of many at once, and their way back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msflow_stream.events.evidence.event_files import event_files, mark_kept
from msflow_stream.events.store import StoredEvent
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.event_queries import said_of
from msflow_stream.web.console.normal_here import forget_decision, forget_other_labels, wanted_of
from msflow_stream.web.console.routing import call, json_of

log = logging.getLogger(__name__)

MOST_EVENTS = 2000  # in one decision
TOLD = 50  # events of a decision that the audit log names; the decision has all
KINDS = {"label": str | None, "kept": bool, "note": str | None}
HERE = "here"  # normal at its place from now on


@call("/decisions", needs=Role.OPERATOR, methods=("POST",))
async def decide(request: Request, console: Console) -> Response:
    """Notes a decision: {"ids": [...]} with one or more of label, kept and note.

    With {"label": "normal", "here": true} the same is excepted at its place from now on, as a part of the decision.
    """
    values = await json_of(request)
    ids, changes = checked(values)
    here = values.get(HERE, False)
    if here is not False and (here is not True or changes.get("label") != "normal"):
        raise HTTPException(422, "here is for what is normal: true, with that label")
    return JSONResponse(await run_in_threadpool(_decide, request, console, ids, changes, here))


@call("/decisions/{number}", needs=Role.OPERATOR, methods=("DELETE",))
def undo(request: Request, console: Console) -> Response:
    """Takes a decision back, as far as nobody decided otherwise since."""
    number = _number(request.path_params["number"])
    about = console.store.decided_events(number)
    seen_events(console, request, about)
    user = console.user(request)
    put_back = console.store.undo(number, user.name)
    after = seen_events(console, request, put_back)
    _keep_files(console, after)
    forget_decision(console, number, after)
    console.accounts.audit(user.name, "undo", f"decision {number}", {"events": put_back[:TOLD]})
    return JSONResponse({"events": [said_of(one) for one in after], "left": len(about) - len(put_back)})


def checked(values: dict[str, object]) -> tuple[list[str], dict[str, Any]]:
    """Returns the ids and the changes of a decision that was sent.

    Raises:
        HTTPException: 422, it is none.
    """
    ids = values.get("ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(id, str) for id in ids):
        raise HTTPException(422, "give the ids of the events")
    if len(ids) > MOST_EVENTS:
        raise HTTPException(422, f"decide about at most {MOST_EVENTS} events at once")
    changes = {name: values[name] for name in KINDS if name in values}
    if not changes:
        raise HTTPException(422, "give a label, a note, or whether they are kept")
    for name, value in changes.items():
        if not isinstance(value, KINDS[name]):
            raise HTTPException(422, f"{name} cannot be {value!r}")
    return list(dict.fromkeys(ids)), changes


def seen_events(console: Console, request: Request, ids: Sequence[str]) -> list[StoredEvent]:
    """Returns the events with these ids.

    Raises:
        HTTPException: 404, one of them is none that this person may see.
    """
    user = console.user(request)
    found = console.store.find_exact(ids)
    if len(found) < len(ids) or not all(user.sees(stored.event.source) for stored in found):
        raise HTTPException(404, "there is no such event")
    return found


def _decide(request: Request, console: Console, ids: list[str], changes: dict[str, Any], here: bool) -> dict[str, Any]:
    before = seen_events(console, request, ids)
    wanted = wanted_of(console, before) if here else []
    user = console.user(request)
    number = console.store.decide(ids, user.name, **changes)
    made = [one.add(user.name, number) for one in wanted]
    after = seen_events(console, request, ids)
    if "label" in changes:
        forget_other_labels(console, after)
    if "kept" in changes:
        _keep_files(console, after)
    action = "label" if "label" in changes else "keep" if "kept" in changes else "note"
    target = ids[0] if len(ids) == 1 else f"{len(ids)} events"
    said = {**changes, "events": ids[:TOLD], "decision": number}
    console.accounts.audit(user.name, action, target, {**said, "exceptions": len(made)} if here else said)
    return {"decision": number, "events": [said_of(one) for one in after], "exceptions": len(made)}


def _keep_files(console: Console, events: Sequence[StoredEvent]) -> None:
    """Puts the mark beside the evidence too, so that it counts while the store is away."""
    for stored in events:
        if event_files(console.out, stored.event) is None:
            continue
        try:
            mark_kept(console.out, stored.event, stored.kept)
        except OSError as error:  # the store knows
            log.warning("%s: the mark cannot be written: %s", stored.event.id, error.strerror)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise HTTPException(404, "there is no such decision")
    return int(text)
