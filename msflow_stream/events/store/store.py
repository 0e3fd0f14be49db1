"""The store of events: each is in it once, in its last version, with what a person said of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
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
from msflow_stream.events.store.tables import EVENT_COLUMNS, EventFilter, EventRow, Label, StoredEvent, event_values
from msflow_stream.types import EventMessage, UserError


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
        with self._opening, translated_errors(self._url):
            if self._opened:
                return
            try:
                self._prepare_file()
                migrate(self._engine, self.name)
            except (ProgrammingError, OSError) as error:
                raise UserError(f"event store {self.name} cannot be opened: {reason(self._url, error)}") from None
            self._opened = True

    def save(self, message: EventMessage) -> bool:
        """Saves the event of a message; False if as much or more was known of it already, which then stays."""
        values = event_values(message.event)
        happened = message.event.start_wall or datetime.now(UTC)
        dialect: Any = sqlite if self.file else postgresql
        insert = dialect.insert(EventRow).values(**values, happened=happened, label=None, kept=False)
        upsert = insert.on_conflict_do_update(
            index_elements=[EventRow.id],
            set_={name: insert.excluded[name] for name in EVENT_COLUMNS},
            where=EventRow.version < insert.excluded.version,
        )
        with self._session() as session:
            return session.scalar(upsert.returning(EventRow.id)) is not None

    def find(self, which: EventFilter | None = None) -> list[StoredEvent]:
        """Returns the events asked for, newest first."""
        query = select(EventRow).order_by(EventRow.happened.desc(), EventRow.start.desc(), EventRow.id)
        with self._session() as session:
            return [row.stored() for row in session.scalars((which or EventFilter()).apply(query))]

    def get(self, id: str) -> StoredEvent:
        """Returns an event by its id or by how that begins.

        Raises:
            UserError: there is none, or more than one.
        """
        with self._session() as session:
            return self._row(session, id).stored()

    def label(self, id: str, label: Label | None) -> StoredEvent:
        """Notes what a person said of an event, which is returned; None takes it back.

        Raises:
            UserError: there is no such event or no such label, or more than one event.
        """
        if label is not None and label not in get_args(Label):
            raise UserError(f"{label!r} is no label: give {' or '.join(get_args(Label))}")
        with self._session() as session:
            row = self._row(session, id)
            row.label = label
            return row.stored()

    def keep(self, id: str, kept: bool) -> StoredEvent:
        """Marks an event whose evidence is not to be removed, or takes the mark away; returns the event.

        Raises:
            UserError: there is no such event, or more than one.
        """
        with self._session() as session:
            row = self._row(session, id)
            row.kept = kept
            return row.stored()

    def kept_ids(self) -> frozenset[str]:
        """Returns the ids of the events whose evidence is not to be removed."""
        with self._session() as session:
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
    def _session(self) -> Iterator[Session]:
        """Yields a session with one transaction."""
        self.open()
        with translated_errors(self._url), Session(self._engine) as session, session.begin():
            yield session
