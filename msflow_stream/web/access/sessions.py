"""Sessions: browsers that are signed in, each by a random token of which only the hash is kept."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Lock

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from msflow_stream.events.store import EventStore, StoreUnavailable
from msflow_stream.web.access.tables import SessionRow, UserRow

LONGEST = timedelta(days=30)
LONGEST_IDLE = timedelta(days=7)
SEEN_EVERY = timedelta(minutes=1)  # that a use is written down
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 random bits
ID_LENGTH = 16  # of the hash's letters, by which people's pages name a session


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session, as an admin sees it.

    Attributes:
        id: names it; nothing can be done with it but to end the session.
        address: where it began.
        browser: what the browser says it is.
        created, seen: when it began and was last used.
    """

    id: str
    user: str
    address: str
    browser: str
    created: datetime
    seen: datetime


class Sessions:
    """The sessions in a store's database. Every method raises StoreUnavailable while that is away."""

    def __init__(self, store: EventStore, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock
        self._noting = Lock()  # that a session is used: of several who would wait for the database one does

    def begin(self, session: Session, user: str, address: str, browser: str) -> str:
        """Returns the token of a new session; those that are over are removed."""
        token, now = secrets.token_urlsafe(32), self._clock()
        over = or_(SessionRow.created < now - LONGEST, SessionRow.seen < now - LONGEST_IDLE)
        session.execute(delete(SessionRow).where(over))
        values = {"user": user, "address": address, "browser": browser[:200], "created": now, "seen": now}
        session.add(SessionRow(token=_hash(token), **values))
        return token

    def user_row(self, token: str) -> UserRow | None:
        """Returns the row of the user whose session it is, None where there is none or it is over."""
        if not TOKEN.fullmatch(token):
            return None
        found, now = _hash(token), self._clock()
        query = select(UserRow, SessionRow.seen).join(SessionRow, SessionRow.user == UserRow.name)
        lives = (SessionRow.created > now - LONGEST, SessionRow.seen > now - LONGEST_IDLE)
        with self._store.session() as session:
            row = session.execute(query.where(SessionRow.token == found, *lives)).one_or_none()
            if row is None:
                return None
            user, seen = row
            session.expunge(user)
        if now - seen > SEEN_EVERY and self._noting.acquire(blocking=False):
            try:
                with suppress(StoreUnavailable), self._store.session() as session:  # a full disk keeps nobody out
                    session.execute(update(SessionRow).where(SessionRow.token == found).values(seen=now))
            finally:
                self._noting.release()
        return user

    def was_at(self, user: str, address: str) -> bool:
        """Returns whether a user has a session that began at an address."""
        query = select(SessionRow.token).where(SessionRow.user == user, SessionRow.address == address).limit(1)
        with self._store.session() as session:
            return session.scalar(query) is not None

    def all(self) -> list[SignedIn]:
        """Returns the sessions that live, the last used first."""
        now = self._clock()
        lives = (SessionRow.created > now - LONGEST, SessionRow.seen > now - LONGEST_IDLE)
        query = select(SessionRow).where(*lives).order_by(SessionRow.seen.desc(), SessionRow.token)
        with self._store.session() as session:
            return [
                SignedIn(row.token[:ID_LENGTH], row.user, row.address, row.browser, row.created, row.seen)
                for row in session.scalars(query)
            ]

    def end(self, token: str) -> None:
        """Ends the session of a token, if there is one."""
        with self._store.session() as session:
            session.execute(delete(SessionRow).where(SessionRow.token == _hash(token)))

    def end_by_id(self, session: Session, id: str) -> str | None:
        """Ends a session and returns whose it was; None where there is none."""
        rows = select(SessionRow).where(SessionRow.token.startswith(id, autoescape=True))
        row = session.scalar(rows) if len(id) == ID_LENGTH else None
        if row is None:
            return None
        session.delete(row)
        return row.user

    def id_of(self, token: str) -> str:
        """Returns what names the session of a token."""
        return _hash(token)[:ID_LENGTH]


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
