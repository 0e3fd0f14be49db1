"""The events of a run of `score`, saved in a database source by source."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from msflow_stream.events.store import EventFilter, EventStore, StoreUnavailable
from msflow_stream.types import Event, EventMessage, UserError


class RunEvents:
    """Saves the events of one finished source after the other. A context manager.

    A database that is away when a source is finished gets its events with the next one's, or at the end. An event that
    it has already is the same one, found in another run: what was found last is kept, and what a person said of it.
    """

    def __init__(self, url: str) -> None:
        """Connects, so that a mistake is found before anything is scored.

        Raises:
            UserError: no store that can be used.
        """
        self._store = EventStore(url)
        self._store.open()
        self._waiting: list[Event] = []

    def __enter__(self) -> RunEvents:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def add(self, events: Sequence[Event]) -> None:
        """Adds the events of a source, which are over."""
        self._waiting += events
        with suppress(StoreUnavailable):  # it may be back for the next source, and `finish` says if it is not
            self._save()

    def finish(self) -> None:
        """Saves what still waits.

        Raises:
            UserError: the database is away; it says how many events it lacks.
        """
        try:
            self._save()
        except StoreUnavailable as error:
            raise UserError(f"{len(self._waiting)} events are in events.json alone: {error}") from None

    def _save(self) -> None:
        if not self._waiting:
            return
        known = self._known({event.source for event in self._waiting})
        while self._waiting:
            event = self._waiting[0]
            before = known.get(event.id)
            if before is None:
                self._store.save(EventMessage("close", event))
            elif replace(before, version=event.version) != event:
                self._store.save(EventMessage("close", replace(event, version=before.version + 1)))
            self._waiting.pop(0)

    def _known(self, sources: set[str]) -> dict[str, Event]:
        stored = (one for source in sources for one in self._store.find(EventFilter(camera=source)))
        return {one.event.id: one.event for one in stored}
