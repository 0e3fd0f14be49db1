"""The store of events: each is in it once, in its last version, with what a person said of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from msflow_stream.events.store.connection import (
    BUSY_SECONDS,
    database_file,
    make_engine,
    migrate,
    read_address,
    reason,
    shown,
    translated_errors,
)
from msflow_stream.events.store.decisions import (
    AT_ONCE,
    UNCHANGED,
    Decision,
    Unchanged,
    checked_changes,
    decide,
    decided_events,
    decisions,
    is_text,
    undo,
)
from msflow_stream.events.store.saving import saving
from msflow_stream.events.store.tables import (
    Cursor,
    EventFilter,
    EventRow,
    Label,
    LabelledRow,
    StoredEvent,
    behind,
)
from msflow_stream.types import EventMessage, UserError

COMMAND_LINE = "command line"  # who decided, where nobody is signed in


class EventStore:
    """The events in a database, for any number of threads and processes at once. A context manager.

    It connects, and makes or migrates its tables, when it is first needed; so a database that is away can be tried
    again. Every method raises StoreUnavailable while it is away, locked for long, or full.
    """

    def __init__(self, url: str) -> None:
        """Prepares a store at sqlite:///FILE, whose folder is made, or postgresql://USER:PASSWORD@HOST/DATABASE.

        Raises:
            UserError: it is neither, or its driver is not installed.
        """
        self._url = read_address(url)
        self._engine = make_engine(self._url)
        self._opening = threading.Lock()
        self._opened = False
        self._failed: tuple[float, UserError] | None = None  # when it could not be opened, and why

    @property
    def name(self) -> str:
        """The address without credentials."""
        return shown(self._url)

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database, which may not be there yet."""
        return database_file(self._url)

    def __enter__(self) -> EventStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections; twice is fine."""
        self._engine.dispose()

    def open(self) -> None:
        """Connects and brings the tables up to date, if that has not been done yet.

        Raises:
            UserError: it is no database of ours, or a newer version's.
        """
        if self._opened:
            return
        asked = time.monotonic()
        with self._opening:
            if self._opened:
                return
            if self._failed is not None and self._failed[0] > asked:  # while this one waited, which is long enough
                raise type(self._failed[1])(str(self._failed[1]))
            try:
                self._open()
            except UserError as error:
                self._failed = time.monotonic(), error
                raise
            self._opened = True

    def _open(self) -> None:
        with translated_errors(self._url):
            try:
                self._prepare_file()
                migrate(self._engine, self.name)
            except (ProgrammingError, OSError) as error:
                raise UserError(f"event store {self.name} cannot be opened: {reason(self._url, error)}") from None

    def save(self, message: EventMessage) -> bool:
        """Saves the event of a message; False if it was not, as `saving` says: what was known then stays."""
        statement = saving(message, self._engine.dialect.name)
        with self.session() as session:
            return session.scalar(statement) is not None

    def find(self, which: EventFilter | None = None) -> list[StoredEvent]:
        """Returns the events asked for, newest first."""
        query = select(EventRow).order_by(EventRow.happened.desc(), EventRow.start.desc(), EventRow.id)
        with self.session() as session:
            return [row.stored() for row in session.scalars((which or EventFilter()).apply(query))]

    def page(self, which: EventFilter, before: Cursor | None, limit: int) -> tuple[list[StoredEvent], Cursor | None]:
        """Returns so many of the events asked for, newest first, and where the next page begins, None at the end.

        Args:
            which: the events; its own limit does not count.
            before: the place behind which the page begins; None: the newest.
            limit: the most events.
        """
        query = behind(which.conditions(select(EventRow)), before).limit(limit + 1)
        with self.session() as session:
            found = [row.stored() for row in session.scalars(query)]
        if len(found) <= limit:
            return found, None
        return found[:limit], Cursor(found[limit - 1].happened, found[limit - 1].event.id)

    def count(self, which: EventFilter | None = None) -> int:
        """Returns how many events there are of those asked for."""
        query = (which or EventFilter()).conditions(select(func.count()).select_from(EventRow))
        with self.session() as session:
            return session.scalar(query) or 0

    def exact(self, id: str) -> StoredEvent | None:
        """Returns the event that has this id, None where none has."""
        with self.session() as session:
            row = session.get(EventRow, id) if is_text(id) else None
            return None if row is None else row.stored()

    def find_exact(self, ids: Sequence[str]) -> list[StoredEvent]:
        """Returns the events that have these ids, in the order of the ids; those that there are."""
        found: dict[str, StoredEvent] = {}
        with self.session() as session:
            for first in range(0, len(ids), AT_ONCE):
                some = [id for id in ids[first : first + AT_ONCE] if is_text(id)]
                rows = session.scalars(select(EventRow).where(EventRow.id.in_(some)))
                found.update({row.id: row.stored() for row in rows})
        return [found[id] for id in ids if id in found]

    def labelled(self, labels: Sequence[Label]) -> list[LabelledRow]:
        """Returns a few facts of each event that has one of these labels, in no order."""
        columns = [getattr(EventRow, name) for name in LabelledRow._fields]
        with self.session() as session:
            return [LabelledRow(*row) for row in session.execute(select(*columns).where(EventRow.label.in_(labels)))]

    def next_newer(self, which: EventFilter, place: Cursor) -> StoredEvent | None:
        """Returns the event asked for that comes just before a place in the list, None where that is the newest."""
        query = which.conditions(select(EventRow))
        query = query.where(tuple_(EventRow.happened, EventRow.id) > (place.happened, place.id))
        with self.session() as session:
            row = session.scalars(query.order_by(EventRow.happened, EventRow.id).limit(1)).first()
            return None if row is None else row.stored()

    def decide(
        self,
        ids: Sequence[str],
        by: str,
        *,
        label: Label | Unchanged | None = UNCHANGED,
        kept: bool | Unchanged = UNCHANGED,
        note: str | Unchanged | None = UNCHANGED,
    ) -> int:
        """Sets what a person decided of events, and returns the decision's number, by which it can be undone.

        Raises:
            UserError: there is no such event or label, or the note is too long; then none is changed.
        """
        changes = checked_changes(label, kept, note)
        with self.session() as session:
            return decide(session, ids, by, changes)

    def undo(self, decision: int, by: str) -> list[str]:
        """Puts the events of a decision back to what they were before it, and returns their ids.

        An event that somebody decided otherwise about since, or that was put back already, stays as it is:
        `decided_events` less those returned.

        Raises:
            UserError: there is no such decision.
        """
        with self.session() as session:
            return undo(session, decision, by)

    def decided_events(self, decision: int) -> list[str]:
        """Returns the ids of the events that a decision is about; none where there is no such decision."""
        with self.session() as session:
            return decided_events(session, decision)

    def decisions(self, id: str) -> list[Decision]:
        """Returns the decisions about an event, newest first."""
        with self.session() as session:
            return decisions(session, id)

    def get(self, id: str) -> StoredEvent:
        """Returns an event by its id or by how that begins.

        Raises:
            UserError: there is none, or more than one.
        """
        with self.session() as session:
            return self._row(session, id).stored()

    def label(
        self, id: str, label: Label | None, *, note: str | Unchanged | None = UNCHANGED, by: str = COMMAND_LINE
    ) -> StoredEvent:
        """Notes what a person said of an event, which is returned; None takes it back.

        Raises:
            UserError: there is no such event or no such label, or more than one event.
        """
        return self._decide_one(id, by, checked_changes(label, UNCHANGED, note))

    def keep(self, id: str, kept: bool, *, by: str = COMMAND_LINE) -> StoredEvent:
        """Marks an event whose evidence is not to be removed, or takes the mark away; returns the event.

        Raises:
            UserError: there is no such event, or more than one.
        """
        return self._decide_one(id, by, checked_changes(UNCHANGED, kept, UNCHANGED))

    def _decide_one(self, id: str, by: str, changes: dict[str, Any]) -> StoredEvent:
        whole = self.get(id).event.id
        with self.session() as session:
            decide(session, [whole], by, changes)
            session.flush()
            return session.get_one(EventRow, whole).stored()

    def kept_ids(self) -> frozenset[str]:
        """Returns the ids of the events whose evidence is not to be removed."""
        with self.session() as session:
            return frozenset(session.scalars(select(EventRow.id).where(EventRow.kept)))

    def _row(self, session: Session, id: str) -> EventRow:
        exact = session.get(EventRow, id)
        if exact is not None:
            return exact
        begins = select(EventRow).where(func.substr(EventRow.id, 1, len(id)) == id).order_by(EventRow.id).limit(3)
        found = session.scalars(begins).all() if id else []
        if len(found) == 1:
            return found[0]
        if found:
            examples = ", ".join(row.id for row in found)
            raise UserError(f"more than one event's id begins with {id!r} ({examples}): give more of it")
        raise UserError(f"no event {id!r} in {self.name}: `msflow-stream events list` shows the ids")

    def _prepare_file(self) -> None:
        """Makes the folder of a SQLite file, and lets readers and writers work side by side in it."""
        path = self.file
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                with self._engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                return
            except OperationalError as error:
                # SQLite does not wait for others here.
                if "locked" not in str(error.orig) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yields a session with one transaction, for what else is kept in the same database."""
        self.open()
        with translated_errors(self._url), Session(self._engine) as session, session.begin():
            yield session
