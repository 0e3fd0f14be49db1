"""The file of a delivery queue: messages in their order, which events their receiver follows, and dead letters."""

# persist-queue's SQLiteAckQueue (1.1) is not used: on a full disk its put, get and start raise, and so does its start
# on a damaged file; it has no capacity; a second program takes messages from the same file; what was delivered stays
# in the file. All of that would have to be written around it, and be longer than this file.

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from msflow_stream.events.alerts.sinks.base import AlertMessage
from msflow_stream.files import append_line, replaced
from msflow_stream.logs import Outage

logger = logging.getLogger(__name__)

T = TypeVar("T")

FORGOTTEN_AFTER = 30 * 86_400.0  # seconds; an event whose end was never queued must not be followed for ever
MAX_BYTES = 16 * 2**20  # of a file of dead letters
DAMAGE = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
KEPT = 3  # files of dead letters that are put aside

TABLES = """
CREATE TABLE IF NOT EXISTS letters(number INTEGER PRIMARY KEY AUTOINCREMENT, added REAL NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS followed(event TEXT PRIMARY KEY, since REAL NOT NULL);
CREATE TABLE IF NOT EXISTS adopted(name TEXT PRIMARY KEY, at REAL NOT NULL);
"""


@dataclass(eq=False)
class QueuedMessage:
    """A message that waits.

    Attributes:
        text: its JSON.
        added: when it was added, in seconds since 1970.
        kind, event: those of the message; empty where it was read from the disk.
        number: its place in the file, None while it is not in it.
        attempts: failed ones to deliver it.
    """

    text: str
    added: float
    kind: Literal["open", "update", "close", ""] = ""
    event: str = ""
    number: int | None = None
    attempts: int = 0

    @cached_property
    def message(self) -> AlertMessage:
        """The message for its receiver.

        Raises:
            ValueError: the text is no message.
        """
        return AlertMessage.read(self.text)


class QueueFile:
    """An SQLite file that one program has to itself. What it cannot do is logged once, never raised. To be closed.

    Every change is in the file when the call returns, so that a killed program loses nothing. The last ones may be
    lost with the power, as waiting for the disk each time would hold up the cameras; the file stays whole.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file at the first call."""
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._outage = Outage(logger)

    def load(self) -> tuple[int, set[str]] | None:
        """Returns the number of messages and the events that are followed; None where they cannot be read."""

        def work(db: sqlite3.Connection) -> tuple[int, set[str]]:
            (count,) = db.execute("SELECT count(*) FROM letters").fetchone()
            return count, {event for (event,) in db.execute("SELECT event FROM followed")}

        return self._try(work)

    def first(self, over: Collection[int]) -> QueuedMessage | None:
        """Returns the oldest message whose number is not among `over`; None where it cannot be read."""

        def work(db: sqlite3.Connection) -> QueuedMessage | None:
            query = "SELECT body, added, number FROM letters ORDER BY number LIMIT ?"
            rows = db.execute(query, (len(over) + 1,))
            return next(
                (QueuedMessage(text, at, number=number) for text, at, number in rows if number not in over), None
            )

        return self._try(work)

    def save(self, messages: Iterable[QueuedMessage], over: Collection[int]) -> bool:
        """Adds messages, which get their numbers, and removes those with the numbers `over`; all of it or nothing."""

        def work(db: sqlite3.Connection) -> list[tuple[QueuedMessage, int | None]]:
            db.executemany("DELETE FROM letters WHERE number = ?", [(number,) for number in over])
            return [(message, _insert(db, message)) for message in messages]

        numbered = self._try(work)
        if numbered is None:
            return False
        for message, number in numbered:
            message.number = number
        self._outage.end(f"{self._path} is written again")
        return True

    def adopt(self, path: Path, name: str, now: float) -> tuple[int, set[str]] | None:
        """Adds all that is in another queue's file, which no program has open; once for each name.

        Returns:
            The number of messages and the events that are followed; None where they cannot be read or written.
        """
        try:
            left = _left_in(path)
        except (sqlite3.Error, OSError) as error:
            logger.warning("%s cannot be read: %s", path, error)
            return None

        def work(db: sqlite3.Connection) -> tuple[int, set[str]]:
            db.execute("DELETE FROM adopted WHERE at < ?", (now - FORGOTTEN_AFTER,))
            new = db.execute("INSERT OR IGNORE INTO adopted VALUES (?, ?)", (name, now)).rowcount
            if not new:
                return 0, set()
            db.executemany("INSERT INTO letters(added, body) VALUES (?, ?)", left["letters"])
            db.executemany("INSERT OR IGNORE INTO followed VALUES (?, ?)", left["followed"])
            db.executemany("INSERT OR IGNORE INTO adopted VALUES (?, ?)", left["adopted"])
            return len(left["letters"]), {event for event, _ in left["followed"]}

        return self._try(work)

    def forget(self, event: str) -> None:
        """Notes that the receiver does not follow this event any more."""
        self._try(lambda db: db.execute("DELETE FROM followed WHERE event = ?", (event,)))

    def close(self) -> None:
        """Closes the file, which the next call opens again."""
        if self._db is not None:
            self._db.close()
        self._db = None

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        try:
            if self._db is None:
                self._db = self._open()
            with self._db:
                return work(self._db)
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._outage.begin(
                f"cannot write {self._path}: {reason}; alerts wait in memory, where a kill would lose them", reason
            )
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL:
                self.close()  # opened anew at the next call
            return None

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connect(self._path)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) not in DAMAGE:
                raise
        damaged = self._path.with_name(f"{self._path.name}.damaged")
        self._path.replace(damaged)
        for ending in ("-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        logger.warning("%s is damaged and was put aside as %s; the alerts in it are lost", self._path, damaged.name)
        return _connect(self._path)


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=0, check_same_thread=False)
    try:
        # The whole file is locked for one program, and its index is kept in memory, where a full disk does no harm.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(TABLES)
        (state,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            error = sqlite3.DatabaseError(state)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
    except BaseException:
        db.close()
        raise
    return db


def _left_in(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Returns the rows of each table, without the numbers of messages; none of a file that is damaged."""
    columns = {"letters": "added, body", "followed": "event, since", "adopted": "name, at"}
    try:
        with closing(_connect(path)) as db:
            return {
                table: db.execute(f"SELECT {names} FROM {table} ORDER BY rowid").fetchall()
                for table, names in columns.items()
            }
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) not in DAMAGE:
            raise
        logger.warning("%s is damaged; the alerts in it are lost", path)
        return {table: [] for table in columns}


def _insert(db: sqlite3.Connection, message: QueuedMessage) -> int | None:
    if message.kind == "open":
        db.execute("DELETE FROM followed WHERE since < ?", (message.added - FORGOTTEN_AFTER,))
        db.execute("INSERT OR REPLACE INTO followed VALUES (?, ?)", (message.event, message.added))
    elif message.kind == "close":
        db.execute("DELETE FROM followed WHERE event = ?", (message.event,))
    return db.execute("INSERT INTO letters(added, body) VALUES (?, ?)", (message.added, message.text)).lastrowid


class DeadLetters:
    """A line of JSON for each message that was given up: `time`, `reason` and the `message`."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        """Makes the file at the first message; a file that would become larger is put aside."""
        self._path, self._max_bytes = path, max_bytes
        self._counted: tuple[tuple[int, int], int] = (0, 0), 0  # time and size of the file, and its lines
        self._outage = Outage(logger)

    def __len__(self) -> int:
        """Returns the number of messages in the file; it is read again only when it has changed."""
        try:
            state = self._path.stat()
            if self._counted[0] != (state.st_mtime_ns, state.st_size):
                self._counted = (state.st_mtime_ns, state.st_size), self._path.read_bytes().count(b"\n")
        except OSError:
            return 0
        return self._counted[1]

    def read(self) -> list[str]:
        """Returns the lines of the file.

        Raises:
            OSError: it cannot be read.
        """
        return self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []

    def put_aside(self, lines: int) -> None:
        """Takes so many lines from the file's beginning into another one, NAME.retried, that of the last time goes.

        Raises:
            OSError: they cannot be moved; the file is as before.
        """
        content = self._path.read_bytes().splitlines(keepends=True)
        self._path.with_name(f"{self._path.name}.retried").write_bytes(b"".join(content[:lines]))
        if content[lines:]:
            with replaced(self._path) as partial:
                partial.write_bytes(b"".join(content[lines:]))
        else:
            self._path.unlink()

    def adopt(self, path: Path) -> bool:
        """Takes the lines of another file, which is removed; False where they cannot be moved."""
        try:
            if path.exists():
                for line in path.read_text(encoding="utf-8").splitlines():
                    append_line(self._path, line, self._max_bytes, KEPT)
                path.unlink()
        except (OSError, ValueError) as error:
            logger.warning("%s: its dead letters cannot be moved: %s", path, error)
            return False
        return True

    def add(self, text: str, reason: str) -> None:
        """Adds a message's JSON; where that fails it is logged once, never raised."""
        try:
            message = json.loads(text)
        except ValueError:
            message = text
        line = {"time": datetime.now(UTC).isoformat().replace("+00:00", "Z"), "reason": reason, "message": message}
        try:
            append_line(self._path, json.dumps(line, ensure_ascii=False), self._max_bytes, KEPT)
        except OSError as error:
            self._outage.begin(
                f"cannot write {self._path}: {error.strerror}; alerts that are given up are lost", f"{error.strerror}"
            )
        else:
            self._outage.end(f"{self._path} is written again")
