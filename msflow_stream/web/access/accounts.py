"""The console's people: who they are, what they may do, their sessions, and what they did."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from msflow_stream.events.store import EventStore
from msflow_stream.types import UserError
from msflow_stream.web.access.audit import AuditLine, read_audit, write_audit
from msflow_stream.web.access.limits import SignInLimits
from msflow_stream.web.access.passwords import Cost, checked, hashed, is_right
from msflow_stream.web.access.roles import LOCAL, Role, User
from msflow_stream.web.access.sessions import Sessions
from msflow_stream.web.access.tables import AuditRow, SessionRow, UserRow

NAME = re.compile(r"[\w.@+-]{1,64}")
LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|\[?::1\]?", re.IGNORECASE)


class WrongPassword(Exception):  # noqa: N818 - names what happened
    """Nobody has this name and password."""


class TooManyAttempts(Exception):  # noqa: N818 - names what happened
    """An attempt to sign in that comes too soon after others.

    Attributes:
        wait: seconds.
    """

    def __init__(self, wait: float) -> None:
        super().__init__(f"too many attempts: wait {wait:.0f} s")
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Account:
    """A person, as an admin sees them.

    Attributes:
        cameras: the names of those that they may see; None: all.
        seen: when they last used the console; None: not since their last session ended.
    """

    name: str
    role: Role
    cameras: tuple[str, ...] | None
    created: datetime
    seen: datetime | None


class Accounts:
    """The users in the database of a store, for any number of threads and processes.

    Every method raises StoreUnavailable while the database is away.
    """

    def __init__(
        self, store: EventStore, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC), cost: Cost | None = None
    ) -> None:
        """Uses the store's database.

        Args:
            store: the events.
            clock: the time.
            cost: of the hash of a password that is set from now on.
        """
        self.store = store
        self.sessions = Sessions(store, clock)
        self._clock, self._cost = clock, cost or Cost()
        self._limits = SignInLimits(clock)

    def any(self) -> bool:
        """Returns whether there is a user; where there is none, access is off."""
        with self.store.session() as session:
            return session.scalar(select(UserRow.name).limit(1)) is not None

    def all(self) -> list[Account]:
        """Returns all users by name."""
        seen = select(SessionRow.user, func.max(SessionRow.seen)).group_by(SessionRow.user)
        with self.store.session() as session:
            last = {row[0]: row[1] for row in session.execute(seen)}
            rows = session.scalars(select(UserRow).order_by(UserRow.name))
            return [_account(row, last.get(row.name)) for row in rows]

    def add(self, name: str, password: str, role: Role, cameras: Collection[str] | None, by: str) -> str:
        """Adds a user, whose name is returned as they are known from now on.

        Raises:
            UserError: there is one of that name, or it cannot be one, or the password is too weak.
        """
        name = checked_name(name)
        digest = hashed(checked(password, name), self._cost)
        seen = None if cameras is None else sorted(set(cameras))
        with self.store.session() as session:
            _lock(session)
            _check_free(session, name)
            session.add(UserRow(name=name, role=str(role), cameras=seen, password=digest, created=self._clock()))
            self._note(session, by, "user added", name, {"role": str(role), "cameras": _shown(seen)})
        return name

    def check_new(self, name: str) -> None:
        """Checks a name before a password is asked for.

        Raises:
            UserError: there is one of that name, or it cannot be one.
        """
        with self.store.session() as session:
            _check_free(session, checked_name(name))

    def check_known(self, name: str) -> None:
        """Checks that there is a user.

        Raises:
            UserError: there is none.
        """
        with self.store.session() as session:
            self._row(session, name)

    def remove(self, name: str, by: str, *, even_last: bool = False) -> None:
        """Removes a user and ends their sessions.

        Args:
            even_last: the only user that there is may be removed, which turns access off.

        Raises:
            UserError: there is none of that name, or nobody else is an admin.
        """
        with self.store.session() as session:
            row = self._row(session, name)
            alone = even_last and (session.scalar(select(func.count()).select_from(UserRow)) or 0) == 1
            if not alone:
                _check_admin_stays(session, row)
            session.delete(row)
            self._end_sessions(session, row.name)
            self._note(session, by, "user removed", row.name)

    def set_role(self, name: str, role: Role, by: str) -> None:
        """Changes what a user may do, and ends their sessions.

        Raises:
            UserError: there is none of that name, or nobody else is an admin.
        """
        with self.store.session() as session:
            row = self._row(session, name)
            if row.role == role:
                return
            if role is not Role.ADMIN:
                _check_admin_stays(session, row)
            before, row.role = row.role, str(role)
            self._end_sessions(session, row.name)
            self._note(session, by, "role", row.name, {"before": before, "after": str(role)})

    def set_cameras(self, name: str, cameras: Collection[str] | None, by: str) -> None:
        """Changes which cameras a user may see; None: all.

        Raises:
            UserError: there is none of that name.
        """
        with self.store.session() as session:
            row = self._row(session, name)
            before, row.cameras = row.cameras, None if cameras is None else sorted(set(cameras))
            self._note(session, by, "cameras", row.name, {"before": _shown(before), "after": _shown(row.cameras)})

    def set_password(self, name: str, password: str, by: str) -> None:
        """Changes a user's password, and ends their sessions.

        Raises:
            UserError: there is none of that name, or the password is too weak.
        """
        digest = hashed(checked(password, name), self._cost)
        with self.store.session() as session:
            row = self._row(session, name)
            row.password = digest
            self._end_sessions(session, row.name)
            self._note(session, by, "password", row.name)

    def sign_out(self, name: str, by: str) -> int:
        """Ends all sessions of a user, and returns how many there were.

        Raises:
            UserError: there is none of that name.
        """
        with self.store.session() as session:
            row = self._row(session, name)
            ended = self._end_sessions(session, row.name)
            self._note(session, by, "signed out everywhere", row.name, {"sessions": ended})
            return ended

    def end_session(self, id: str, by: str) -> str | None:
        """Ends one session, and returns whose it was; None where there is none."""
        with self.store.session() as session:
            whose = self.sessions.end_by_id(session, id)
            if whose is not None:
                self._note(session, by, "signed out", whose)
            return whose

    def sign_in(self, name: str, password: str, address: str, browser: str) -> str:
        """Begins a session and returns its token, a secret for the person's browser.

        Raises:
            WrongPassword: nobody has this name and password.
            TooManyAttempts: there were too many failures.
        """
        name = normal_name(name)[:100]
        known = self.sessions.was_at(name, address)
        if wait := self._limits.begin(name, address, known):
            raise TooManyAttempts(wait)
        with self.store.session() as session:
            stored = session.scalar(select(UserRow.password).where(UserRow.name == name))
        if not is_right(password, stored or self._nobody) or stored is None:
            if stored is not None:  # what is no name may be a password, typed into the wrong field
                self.audit(name, "sign-in refused", name)
            raise WrongPassword
        self._limits.succeeded(name, address, known)
        with self.store.session() as session:
            row = session.get(UserRow, name, with_for_update=True)
            if row is None or row.password != stored:  # changed in between
                raise WrongPassword
            self._note(session, name, "signed in", name)
            return self.sessions.begin(session, name, address, browser)

    def user(self, token: str) -> User | None:
        """Returns who a session's token belongs to; None where it is none, or has ended."""
        row = self.sessions.user_row(token)
        return None if row is None else _user(row)

    def audit(self, by: str, action: str, target: str, details: Mapping[str, Any] | None = None) -> None:
        """Writes into the log who did what to what; `details` are values for JSON, and hold no secret."""
        with self.store.session() as session:
            self._note(session, by, action, target, details)

    def audit_lines(self, limit: int, before: int | None = None, by: str | None = None) -> list[AuditLine]:
        """Returns lines of the log, newest first: so many, with a number below `before`, of one person."""
        with self.store.session() as session:
            return read_audit(session, limit, before, by)

    def persons(self) -> list[str]:
        """Returns the names in the log."""
        with self.store.session() as session:
            return list(session.scalars(select(AuditRow.by).distinct().order_by(AuditRow.by)))

    @cached_property
    def _nobody(self) -> str:
        """A hash of no password, which takes as long to check as anybody's."""
        return hashed("nobody has this", self._cost)

    def _note(
        self, session: Session, by: str, action: str, target: str, details: Mapping[str, Any] | None = None
    ) -> None:
        write_audit(session, self._clock(), by, action, target, details)

    def _row(self, session: Session, name: str) -> UserRow:
        """Returns a user's row, while nobody else changes users."""
        _lock(session)
        row = session.get(UserRow, normal_name(name))
        if row is None:
            raise UserError(f"there is no user {normal_name(name)!r}: `msflow-stream console user list` shows them")
        return row

    def _end_sessions(self, session: Session, name: str) -> int:
        ended = session.execute(delete(SessionRow).where(SessionRow.user == name))
        return int(ended.rowcount)  # type: ignore[attr-defined]


def check_open(host: str, accounts: Accounts) -> None:
    """Checks that the console may listen at an address: elsewhere than on this machine it needs users.

    Raises:
        UserError: there is none.
    """
    if not LOOPBACK.fullmatch(host) and not accounts.any():
        raise UserError(
            f"at {host} anybody could see the cameras: first add a user, `msflow-stream console user add NAME --role "
            "admin`, or let the console listen at 127.0.0.1"
        )


def normal_name(name: str) -> str:
    """Returns a name as it is kept: capitals do not count."""
    return unicodedata.normalize("NFKC", name).casefold().replace("\0", "").strip()


def checked_name(name: str) -> str:
    """Returns the name of a new user.

    Raises:
        UserError: it cannot be one.
    """
    found = normal_name(name)
    if not NAME.fullmatch(found):
        raise UserError(f"{name!r} cannot be a name: give 1 to 64 letters, digits and . _ @ + -")
    if found == LOCAL.name:
        raise UserError(f"{LOCAL.name!r} is whoever sits at the machine: give another name")
    return found


def _lock(session: Session) -> None:
    """Keeps others from changing users until the end of the transaction, so that of two admins one stays."""
    # SQLite: a write, of nothing, keeps other programs from writing. PostgreSQL locks the rows.
    session.execute(update(UserRow).where(UserRow.name == "").values(role=""))
    session.scalars(select(UserRow).order_by(UserRow.name).with_for_update()).all()


def _check_free(session: Session, name: str) -> None:
    """Checks that no user has a name.

    Raises:
        UserError: one has.
    """
    if session.get(UserRow, name) is not None:
        raise UserError(f"there is a user {name!r} already")


def _check_admin_stays(session: Session, row: UserRow) -> None:
    """Checks that somebody else is an admin, where this one is.

    Raises:
        UserError: nobody is.
    """
    others = select(UserRow.name).where(UserRow.role == str(Role.ADMIN), UserRow.name != row.name).limit(1)
    if row.role == Role.ADMIN and session.scalar(others) is None:
        raise UserError(f"{row.name} is the only admin: make somebody else one first")


def _shown(cameras: list[str] | None) -> list[str] | str:
    return "all" if cameras is None else cameras


def _user(row: UserRow) -> User:
    return User(row.name, Role(row.role), None if row.cameras is None else frozenset(row.cameras))


def _account(row: UserRow, seen: datetime | None) -> Account:
    return Account(row.name, Role(row.role), None if row.cameras is None else tuple(row.cameras), row.created, seen)
