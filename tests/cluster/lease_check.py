"""Whether the cameras of a cluster were watched by one node at a time, and each event is in the store once and over.

Run: python -m tests.cluster.lease_check STORE [--out OUT] [--running]
It prints what is wrong, or what was looked at, and ends with exit code 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from msflow_stream.events.evidence.event_folder import CLOSED, EVIDENCE_FOLDER, event_folders, read_event
from msflow_stream.events.store import EventStore
from msflow_stream.events.store.leases import Leases, LeaseSpan
from msflow_stream.events.store.tables import EventRow


class SavedEvent(NamedTuple):
    """An event in the store; `fence` is of the lease under which it was saved last."""

    id: str
    source: str
    start_wall: datetime | None
    end_wall: datetime | None
    end: float | None
    fence: int | None


def troubles(url: str, out: Path | None = None, running: bool = False) -> list[str]:
    """What is wrong, in a line each.

    Args:
        url: the store.
        out: the folder of the watch, whose events must all be in the store.
        running: cameras are still watched, so that their events may be open.
    """
    leases, events = leases_of(url), events_of(url)
    found = [*overlaps(leases), *doubled(events), *left_open(leases, events, running), *strays(leases, events)]
    return found if out is None else [*found, *missing(events, out, running)]


def leases_of(url: str) -> dict[str, list[LeaseSpan]]:
    """The leases of each camera, in the order of their numbers."""
    found = defaultdict(list)
    with Leases(url, "check") as leases:
        for span in leases.log():
            found[span.camera].append(span)
    return dict(found)


def events_of(url: str) -> list[SavedEvent]:
    columns = [getattr(EventRow, name) for name in SavedEvent._fields]
    with EventStore(url) as store, store.session() as session:
        rows = session.execute(select(*columns).order_by(EventRow.source, EventRow.start_wall, EventRow.id))
        return [SavedEvent(*row) for row in rows]


def overlaps(leases: dict[str, list[LeaseSpan]]) -> Iterator[str]:
    """Leases of a camera that overlap, or whose numbers do not grow one by one."""
    for camera, spans in leases.items():
        for before, after in pairwise(spans):
            if after.fence != before.fence + 1:
                yield f"{camera}: lease {before.fence} is followed by {after.fence}"
            if after.taken < before.until:
                both = f"{before.node} (lease {before.fence}) and {after.node} (lease {after.fence})"
                yield f"{camera}: held by {both} for {(before.until - after.taken).total_seconds():.3f} s at once"
            if before.ended is None:
                yield f"{camera}: lease {before.fence} has no end, although there is a later one"


def doubled(events: Sequence[SavedEvent]) -> Iterator[str]:
    """Events of one camera that overlap in time: the same was seen twice."""
    by_camera = defaultdict(list)
    for event in events:
        if event.start_wall is not None:
            by_camera[event.source].append(event)
    for camera, those in by_camera.items():
        for before, after in pairwise(sorted(those, key=lambda one: (one.start_wall, one.id))):
            if before.end_wall is not None and after.start_wall is not None and after.start_wall < before.end_wall:
                seconds = (before.end_wall - after.start_wall).total_seconds()
                yield f"{camera}: events {before.id} and {after.id} overlap by {seconds:.3f} s"


def left_open(leases: dict[str, list[LeaseSpan]], events: Sequence[SavedEvent], running: bool) -> Iterator[str]:
    """Events that no node will end any more."""
    for event in events:
        newest = leases.get(event.source, [None])[-1]
        watched = running and newest is not None and newest.ended is None and newest.fence == event.fence
        if event.end is None and not watched:
            yield f"{event.source}: event {event.id} is open still"


def strays(leases: dict[str, list[LeaseSpan]], events: Sequence[SavedEvent]) -> Iterator[str]:
    """Events of leased cameras that began when no node held the camera, or go on in another node's time."""
    for event in events:
        spans = leases.get(event.source, [])
        if not spans or event.start_wall is None or event.fence is None:
            continue
        at = event.start_wall
        span = next((one for one in spans if one.taken - SLACK <= at <= one.until and one.fence <= event.fence), None)
        if span is None:
            yield f"{event.source}: event {event.id} began at {at}, when no node held the camera"
        elif event.end_wall is not None and event.end_wall > span.until + SLACK:
            yield f"{event.source}: event {event.id} ends after lease {span.fence} of {span.node}"


SLACK = timedelta(seconds=1)  # the clocks of nodes and of the database differ


def missing(events: Sequence[SavedEvent], out: Path, running: bool) -> Iterator[str]:
    """Events that have a folder in OUT and are not in the store, or are open there."""
    stored = {event.id for event in events}
    for folder in sorted(out.glob(f"*/{EVIDENCE_FOLDER}")):
        for path in event_folders(folder):
            found = read_event(path)
            if path.name not in stored:
                yield f"{folder.parent.name}: event {path.name} has evidence, and is not in the store"
            if not running and found is not None and found[0].kind != CLOSED:
                yield f"{folder.parent.name}: event.json of {path.name} is open still"


def facts(url: str) -> Iterator[str]:
    """What was looked at."""
    leases, events = leases_of(url), events_of(url)
    spans = [span for those in leases.values() for span in those]
    yield f"{len(leases)} cameras, {len(spans)} leases of {len({span.node for span in spans})} nodes, no two at once"
    gaps = [after.taken - before.until for those in leases.values() for before, after in pairwise(those)]
    if gaps:
        yield f"the longest time in which a camera had no node: {max(gaps).total_seconds():.1f} s"
    yield f"{len(events)} events, each once, all of them in their nodes' time"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--running", action="store_true", help="cameras are watched still")
    given = parser.parse_args()
    found = troubles(given.store, given.out, given.running)
    sys.stdout.write("".join(f"{line}\n" for line in found or facts(given.store)))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
