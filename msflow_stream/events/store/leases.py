"""Leases of cameras: which node watches which, by the database's clock, each with a number that only grows."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import TypeVar

from sqlalchemy import BindParameter, Connection, Index, Interval, String, TextClause, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, mapped_column

from msflow_stream.events.store.connection import (
    database_file,
    make_engine,
    migrate,
    read_address,
    shown,
    translated_errors,
)
from msflow_stream.events.store.tables import Base
from msflow_stream.types import UserError

T = TypeVar("T")

TTL = 10.0  # seconds
KEPT_DAYS = 30  # of leases that are over; a message that waits longer to be saved is refused
STILL_RUNS = text("ended IS NULL")

END_EXPIRED = text(
    "UPDATE lease_log SET ended = 'expired' WHERE camera = :camera AND ended IS NULL AND until <= clock_timestamp()"
)
TAKE = text(
    "INSERT INTO lease_log (camera, fence, node, taken, until) "
    "SELECT :camera, newest + 1, :node, now, now + :ttl FROM ("
    "  SELECT coalesce(max(fence), 0) AS newest, clock_timestamp() AS now FROM lease_log WHERE camera = :camera"
    "  HAVING count(*) FILTER (WHERE ended IS NULL) = 0"
    ") AS free ON CONFLICT DO NOTHING RETURNING fence, until"
)
BEFORE = text("SELECT node FROM lease_log WHERE camera = :camera AND fence = :fence - 1")
CLOSE_LEFT_OPEN = text(
    'UPDATE events SET "end" = greatest(start, peak_time), '
    "end_wall = start_wall + (greatest(start, peak_time) - start) * interval '1 second' "
    'WHERE source = :camera AND "end" IS NULL AND fence < :fence'
)
FORGET = text(
    "DELETE FROM lease_log WHERE camera = :camera AND ended IS NOT NULL AND until < clock_timestamp() - :kept"
)
MINE = (
    "FROM unnest(:cameras, :fences) AS mine (camera, fence) "
    "WHERE lease_log.camera = mine.camera AND lease_log.fence = mine.fence AND node = :node AND ended IS NULL"
)
RENEW = text(
    f"UPDATE lease_log SET until = clock_timestamp() + :ttl {MINE} AND until > clock_timestamp() "
    "RETURNING lease_log.camera, until"
)
RELEASE = text(f"UPDATE lease_log SET ended = 'released', until = least(until, clock_timestamp()) {MINE}")
END_EARLIER = text(
    "UPDATE lease_log SET ended = 'restarted', until = least(until, clock_timestamp()) "
    "WHERE node = :node AND ended IS NULL RETURNING camera"
)
RUNNING = text("SELECT camera, node FROM lease_log WHERE ended IS NULL AND until > clock_timestamp()")

RENEWING = text("SELECT DISTINCT node FROM lease_log WHERE ended IS NULL AND until > clock_timestamp() + :half")


class LeaseRow(Base):
    """A lease: a node watches a camera from `taken` until `until`; the camera's next one has the next number.

    While it runs, `until` is when it would run out. Then `ended` says why it is over, and nothing of it changes.
    """

    __tablename__ = "lease_log"
    __table_args__ = (
        Index("lease_log_running", "camera", unique=True, postgresql_where=STILL_RUNS, sqlite_where=STILL_RUNS),
    )

    camera: Mapped[str] = mapped_column(primary_key=True)
    fence: Mapped[int] = mapped_column(primary_key=True)
    node: Mapped[str]
    taken: Mapped[datetime]
    until: Mapped[datetime]
    ended: Mapped[str | None]


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was taken.

    Attributes:
        camera: its name.
        fence: the number of the lease, higher than of all before.
        until: when it runs out unless it is renewed, by the database's clock.
        before: the node that had the camera before; None where none did.
    """

    camera: str
    fence: int
    until: datetime
    before: str | None


@dataclass(frozen=True, slots=True)
class LeaseSpan:
    """A row of the log: a node had a camera from `taken` until `until`, by the database's clock.

    `ended` is expired, released or restarted; None while it runs, when `until` is when it would run out.
    """

    camera: str
    fence: int
    node: str
    taken: datetime
    until: datetime
    ended: str | None


class Leases:
    """The leases of one node, in the database of the events, which must be PostgreSQL. From any thread; to be closed.

    No call takes longer than a third of a lease lasts, even where the network swallows what is sent: then, and while
    the database is away, it raises StoreUnavailable. `acquire` and `release` may have been done all the same.
    """

    def __init__(self, store: str, node: str, ttl: float = TTL) -> None:
        """Prepares; connects when it is first needed.

        Args:
            store: the address of the database.
            node: the name of this node, as the log shows it.
            ttl: seconds that a lease lasts if it is not renewed.

        Raises:
            UserError: it is no database of PostgreSQL.
        """
        self._url = read_address(store)
        if database_file(self._url) is not None:
            raise UserError("many machines need one store: give --store postgresql://USER:PASSWORD@HOST/DATABASE")
        self.node, self.ttl, self.patience = node, ttl, ttl / 3
        waits = {"connect_timeout": max(2, int(self.patience)), "tcp_user_timeout": int(1000 * self.patience)}
        self._engine = make_engine(self._url, waits, pre_ping=False)

    @property
    def name(self) -> str:
        """The address of the database without credentials."""
        return shown(self._url)

    def __enter__(self) -> Leases:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections; leases run on until they are over."""
        self._engine.dispose()

    def open(self) -> None:
        """Connects and brings the tables up to date.

        Raises:
            UserError: it is no database of ours, or a newer version's.
        """
        with translated_errors(self._url):
            migrate(self._engine, self.name)

    def acquire(self, camera: str) -> Lease | None:
        """Takes a camera; None while another process has it, on this node or another one.

        Events that the nodes before left open are closed in the store, as they were last known: what the journal of
        the camera knows better comes as a newer version.
        """

        def work(connection: Connection) -> Lease | None:
            about = {"camera": camera}
            connection.execute(END_EXPIRED, about)
            taken = connection.execute(TAKE.bindparams(_seconds("ttl", self.ttl)), {**about, "node": self.node}).first()
            if taken is None:
                return None
            about = {"camera": camera, "fence": taken.fence}
            connection.execute(CLOSE_LEFT_OPEN, about)
            connection.execute(FORGET.bindparams(_seconds("kept", KEPT_DAYS * 86_400.0)), about)
            return Lease(camera, taken.fence, taken.until, connection.execute(BEFORE, about).scalar())

        return self._transaction(work)

    def renew(self, fences: Mapping[str, int]) -> dict[str, datetime]:
        """Lets the leases of cameras, with their numbers, last longer; returns until when, of those that still ran."""
        statement = self._of(RENEW, fences).bindparams(_seconds("ttl", self.ttl))
        rows = self._transaction(lambda connection: connection.execute(statement).all())
        return {row.camera: row.until for row in rows}

    def release(self, fences: Mapping[str, int]) -> None:
        """Gives cameras back, with the numbers of their leases, so that other nodes may take them at once."""
        statement = self._of(RELEASE, fences)
        self._transaction(lambda connection: connection.execute(statement))

    def _of(self, statement: TextClause, fences: Mapping[str, int]) -> TextClause:
        cameras = bindparam("cameras", list(fences), ARRAY(String))
        numbers = bindparam("fences", list(fences.values()), ARRAY(LeaseRow.fence.type))
        return statement.bindparams(cameras, numbers, node=self.node)

    def end_earlier(self) -> list[str]:
        """Ends the leases of an earlier process of this node, which must have ended; returns the cameras."""
        return self._transaction(lambda connection: list(connection.scalars(END_EARLIER, {"node": self.node})))

    def holders(self) -> dict[str, str]:
        """Returns the node of every camera that is leased at this moment."""
        return self._transaction(lambda connection: {row.camera: row.node for row in connection.execute(RUNNING)})

    def nodes(self) -> set[str]:
        """Returns the nodes that have leases of which more than a half is left: those that renew them."""
        half = {"half": timedelta(seconds=self.ttl / 2)}
        return self._transaction(lambda connection: set(connection.scalars(RENEWING, half)))

    def holder(self, camera: str) -> str | None:
        """Returns the node that has a camera, None where none has."""
        return self.holders().get(camera)

    def log(self) -> list[LeaseSpan]:
        """Returns all leases of the last 30 days, by camera and number."""
        columns = (getattr(LeaseRow, name) for name in LeaseSpan.__dataclass_fields__)
        query = select(*columns).order_by(LeaseRow.camera, LeaseRow.fence)
        return self._transaction(lambda connection: [LeaseSpan(*row) for row in connection.execute(query)])

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        """Returns what the work returns; a connection that was lost since it was last used is made anew."""
        end = monotonic() + self.patience
        with translated_errors(self._url):
            try:
                return self._once(work, end)
            except DBAPIError as error:
                if not error.connection_invalidated or monotonic() >= end:
                    raise
            return self._once(work, end)

    def _once(self, work: Callable[[Connection], T], end: float) -> T:
        with self._engine.connect() as connection, _cut_off(connection, end - monotonic()), connection.begin():
            return work(connection)


@contextmanager
def _cut_off(connection: Connection, seconds: float) -> Iterator[None]:
    """Has whoever waits for the database's answer after so many seconds see that the connection has ended."""
    # libpq waits for ever for a server whose network still takes what is sent.
    driver = connection.connection.driver_connection
    assert driver is not None
    with socket.socket(fileno=os.dup(driver.fileno())) as line:

        def shut() -> None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, seconds), shut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _seconds(name: str, seconds: float) -> BindParameter[timedelta]:
    return bindparam(name, timedelta(seconds=seconds), Interval)
