"""One event: its clip with the overlay, its scores, why it alarmed, and what people said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msflow_stream.events.detection.reasons import UNUSUAL, rarity
from msflow_stream.events.evidence.clip_facts import clip_facts
from msflow_stream.events.evidence.event_files import EventFiles, event_files
from msflow_stream.events.evidence.event_folder import ClipFile
from msflow_stream.events.store import Cursor, StoredEvent
from msflow_stream.types import Event, Reason
from msflow_stream.watch.replay.recorded import Recorded
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.event_queries import card_of, event_of, iso, may_judge, query_of
from msflow_stream.web.console.normal_here import exception_of_event
from msflow_stream.web.console.routing import call, page
from msflow_stream.web.console.scene_facts import became_of, scenes_of

AROUND = 10.0  # seconds of scores shown before and after an event and its clips
MOST_ROWS = 3000  # of the timeline; of more, the highest of each span
FILE_SPAN = timedelta(hours=2)  # from the first save of a file's event: its scores were written about then


@page("/events/{id}")
def event(request: Request, console: Console) -> Response:
    """Shows the event."""
    stored, query = event_of(console, request), query_of(console, request)
    place = Cursor(stored.happened, stored.event.id)
    older, _ = console.store.page(query.which, place, 1)
    newer = console.store.next_newer(query.which, place)
    return console.render(
        request,
        "event.html.j2",
        card=card_of(console, stored),
        event=stored.event,
        files=event_files(console.out, stored.event),
        query=query,
        older=older[0].event.id if older else None,
        newer=None if newer is None else newer.event.id,
        parts=parts_of(stored.event.why),
        chance=rare(stored.event),
        may_judge=may_judge(console, request),
        decisions=_history(console, stored),
        became=became_of(console, stored),
        exception=exception_of_event(console, stored),
        is_camera=stored.event.source in console.cameras(request),
        has_scene=any(one.name == stored.event.scene for one in scenes_of(console, request)),
    )


@call("/events/{id}/details")
def details(request: Request, console: Console) -> Response:
    """Answers with all that the player shows: the clips, when their frames are shown, the scores, and the regions."""
    stored = event_of(console, request)
    event, files = stored.event, event_files(console.out, stored.event)
    clips, overlays = _clips(files, files.clips if files else ()), _clips(files, files.overlays if files else ())
    return JSONResponse(
        {
            "event": _times(event),
            "version": event.version,
            "over": event.end is not None,
            "clips": clips,
            "overlays": overlays,
            "notes": list(files.notes) if files else [],
            "scores": _scores(console, stored, [*clips, *overlays]),
            "regions": [list(box) for box in event.regions],
            "tracks": [asdict(track) for track in event.tracks],
            "card": card_of(console, stored),
        }
    )


@call("/events/{id}/decisions")
def decisions(request: Request, console: Console) -> Response:
    """Answers with what was decided about an event, newest first, and what became of its label."""
    stored = event_of(console, request)
    return JSONResponse({"decisions": _history(console, stored), "became": became_of(console, stored)})


def parts_of(why: Reason | None) -> list[tuple[str, str]]:
    """Returns the parts of the reason, each with what is known of it in words."""
    if why is None:
        return []
    looks = "normal" if why.appearance < UNUSUAL else rarity(why.appearance)
    parts = [("Appearance", looks), ("View", f"{why.view:.0%} of the view looks unusual")]
    if why.motion is None:
        parts.append(("Motion", "not known"))
    else:
        parts.append(("Motion", "normal" if why.motion < UNUSUAL else rarity(why.motion)))
    if why.speed is not None and why.direction is not None:
        limit = "" if why.limit is None else f"; at most {why.limit:.2g} is normal there"
        parts.append(("Moved", f"{why.direction} at {why.speed:.2g} image widths per second{limit}"))
    return [*parts, ("Where", why.place)]


def rare(event: Event) -> str | None:
    """Returns how probable so high a score is in a normal frame, in words."""
    if event.probability is None:
        return None
    return rarity(-math.log10(max(event.probability, 1e-300)))


def _times(event: Event) -> dict[str, Any]:
    wall = None if event.start_wall is None else iso(event.start_wall)
    peak = {"peak_time": event.peak_time, "peak_index": event.peak_index, "peak_score": event.peak_score}
    return {"start": event.start, "end": event.end, "start_wall": wall, **peak}


def _clips(files: EventFiles | None, parts: Sequence[ClipFile]) -> list[dict[str, Any]]:
    found = []
    for part in parts:
        facts = None if files is None else clip_facts(files.folder / part.file)
        if facts is not None:
            found.append({**asdict(part), **asdict(facts)})
    return found


def _scores(console: Console, stored: StoredEvent, clips: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Returns the rows around an event, by the source's own time."""
    event = stored.event
    first = min([event.start, *(clip["start"] for clip in clips)]) - AROUND
    last = max([event.end or event.start, *(clip["start"] + clip["times"][-1] for clip in clips)]) + AROUND
    if event.start_wall is None:
        since, until = stored.happened - FILE_SPAN, stored.happened + FILE_SPAN
    else:
        since = event.start_wall - timedelta(seconds=event.start - first + 1)
        until = event.start_wall + timedelta(seconds=last - event.start + 60)  # what is late has a later wall
    known = next((name for name in console.all_cameras() if name == event.source), None)
    if known is None:
        return {name: [] for name in ("index", "time", "wall", "score", "threshold", "probability", "alarm")}
    recorded = Recorded.read(console.out / known, since, until)
    rows = np.flatnonzero((recorded.time >= first) & (recorded.time <= last))
    rows = _thinned(_one_run(recorded, rows, event.peak_index), recorded.smoothed)
    columns = {"index": recorded.index, "time": recorded.time, "wall": recorded.wall, "score": recorded.smoothed}
    columns |= {"threshold": recorded.threshold, "probability": recorded.probability}
    return {name: _plain(values[rows]) for name, values in columns.items()} | {
        "alarm": recorded.alarm[rows].astype(int).tolist()
    }


def _one_run(recorded: Recorded, rows: npt.NDArray[np.intp], peak: int) -> npt.NDArray[np.intp]:
    """Returns the rows of one run of the source, whose time begins anew with each: that of the peak, else the last."""
    runs = np.split(rows, np.flatnonzero(np.diff(recorded.time[rows]) <= 0) + 1)
    return next((run for run in runs if peak in recorded.index[run]), runs[-1])


def _thinned(rows: npt.NDArray[np.intp], score: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Returns at most MOST_ROWS of the rows, the highest of each few."""
    if len(rows) <= MOST_ROWS:
        return rows
    parts = np.array_split(rows, MOST_ROWS)
    return np.array([part[int(np.argmax(np.nan_to_num(score[part], nan=-np.inf)))] for part in parts])


def _plain(values: npt.NDArray[Any]) -> list[Any]:
    """Returns numbers as JSON has them: what is not finite is null."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _history(console: Console, stored: StoredEvent) -> list[dict[str, Any]]:
    return [
        {
            "number": one.number,
            "by": one.by,
            "at": iso(one.at),
            "after": dict(one.after),
            "undone_by": one.undone_by,
            "undone_at": None if one.undone_at is None else iso(one.undone_at),
        }
        for one in console.store.decisions(stored.event.id)
    ]
