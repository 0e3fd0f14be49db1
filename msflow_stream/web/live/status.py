"""What tiles say beside their frames: each camera's state and scores, and the last event of each."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool

from msflow_stream.events.store import EventFilter, EventStore, StoreUnavailable
from msflow_stream.types import UserError
from msflow_stream.web.watch_client import WatchAway, WatchClient

log = logging.getLogger(__name__)

FRESH = 0.9  # seconds for which a report is good enough
SOON = 0.7  # seconds that a page waits for a report
EVENTS_FRESH = 10.0  # seconds, likewise, of the last events, unless a camera has a new one

SHOWN = (
    *("name", "scene", "state", "reason", "width", "height", "last_wall", "event"),
    *("phase", "phase_done", "phase_of", "phase_text"),
)
SCORE = ("index", "time", "kind", "smoothed", "threshold", "alarm", "probability")

LastEvents = Callable[[Sequence[str]], Mapping[str, Mapping[str, Any]]]


class Status:
    """The state of all cameras, asked of the watch at most once a second, for any number of browsers.

    Args:
        watch: is asked for its report.
        names: returns the names of all cameras; called in a thread, as it reads files.
        last_events: returns the last event of each of some cameras; called in a thread, as it asks the store.
    """

    def __init__(self, watch: WatchClient, names: Callable[[], Sequence[str]], last_events: LastEvents) -> None:
        self._watch, self._all_names, self._last_events = watch, names, last_events
        self._lock = asyncio.Lock()
        self._asked = self._events_asked = -math.inf
        self._now: dict[str, Any] = {}
        self._names: Sequence[str] = ()
        self._events: Mapping[str, Mapping[str, Any]] = {}
        self._open: list[str | None] = []

    async def now(self) -> dict[str, Any]:
        """Returns {"watch": "running" or "away", "cameras": [...]}, not to be changed; all cameras are there.

        The state of one that no watch has is None.
        """
        async with self._lock:
            if time.monotonic() - self._asked >= FRESH:
                self._now = await self._ask()
                self._asked = time.monotonic()
            return self._now

    async def soon(self) -> dict[str, Any]:
        """Returns the same for a page that is not to wait: "unknown" where the watch does not answer at once."""
        asking = asyncio.ensure_future(self.now())
        done, _ = await asyncio.wait({asking}, timeout=SOON)
        if done:
            return asking.result()
        asking.add_done_callback(lambda one: one.cancelled() or one.exception())
        if not self._now:  # the first page after a start: the cameras file says which cameras there are
            names = await run_in_threadpool(self._all_names)
            return {"watch": "unknown", "cameras": [self._camera(name, {}) for name in names]}
        return self._now

    async def _ask(self) -> dict[str, Any]:
        try:
            watched = {one["name"]: one for one in (await self._watch.report())["cameras"]}
            state = "running"
        except (WatchAway, UserError):
            watched, state = {}, "away"
        await self._ask_slowly(watched)
        return {"watch": state, "cameras": [self._camera(name, watched.get(name, {})) for name in self._names]}

    async def _ask_slowly(self, watched: Mapping[str, Mapping[str, Any]]) -> None:
        """Asks for names and last events, unless that was done lately and no event began or ended since."""
        opened = [one.get("event") for one in watched.values()]
        is_known = watched.keys() <= set(self._names)
        if is_known and opened == self._open and time.monotonic() - self._events_asked < EVENTS_FRESH:
            return
        names = await run_in_threadpool(self._all_names)
        self._names = [*names, *(name for name in watched if name not in names)]
        try:
            self._events = await run_in_threadpool(self._last_events, self._names)
        except (UserError, StoreUnavailable) as error:
            log.warning("the last events are not known: %s", error)
        self._events_asked, self._open = time.monotonic(), opened

    def _camera(self, name: str, watched: Mapping[str, Any]) -> dict[str, Any]:
        last = watched.get("last")
        return {
            **{key: watched.get(key) for key in SHOWN},
            "name": name,
            "last": None if last is None else {key: last.get(key) for key in SCORE},
            "last_event": self._events.get(name),
        }


def last_events(store: EventStore, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Returns the newest event of each camera that has one: id, time, end and severity."""
    found = {}
    for name in names:
        for stored in store.find(EventFilter(camera=name, limit=1)):
            event = stored.event
            found[name] = {
                "id": event.id,
                "time": stored.happened.isoformat(),
                "open": event.end is None,
                "severity": event.severity,
            }
    return found


def unknown(name: str) -> dict[str, Any]:
    """Returns a camera of which nothing is known, as one that was added a moment ago."""
    return {**dict.fromkeys(SHOWN), "name": name, "last": None, "last_event": None}


def for_user(status: Mapping[str, Any], sees: Callable[[str], bool]) -> dict[str, Any]:
    """Returns the part of a status that a person may see."""
    return {**status, "cameras": [one for one in status["cameras"] if sees(one["name"])]}


def changes(status: Mapping[str, Any], told: Mapping[str, Any]) -> list[Any]:
    """Returns the cameras of a status that differ from what was told, by name, before."""
    return [one for one in status["cameras"] if told.get(one["name"]) != one]
