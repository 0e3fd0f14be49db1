"""The jobs of `console user`: people who may sign in to the console are added, listed, changed and removed."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from msflow_stream.config.cameras_file import load_file
from msflow_stream.events.store import EventStore
from msflow_stream.events.store.store import COMMAND_LINE
from msflow_stream.logs import one_line
from msflow_stream.types import UserError
from msflow_stream.watch.event_router import DATABASE
from msflow_stream.watch.event_router import store_url as watched_store
from msflow_stream.web.access.accounts import Account, Accounts, normal_name
from msflow_stream.web.access.passwords import MOST
from msflow_stream.web.access.roles import Role
from msflow_stream.web.watch_record import WatchRecord

from .terminal.listing import Form, Row, print_rows
from .terminal.progress import table

COLUMNS = ["name", "role", "cameras", "since", "last seen"]
NAMES = ("name", "role", "cameras", "created", "last_seen")


def add(store_url: str, name: str, role: Role, cameras: Sequence[str] | None, console: Console) -> None:
    """Adds a user, with a password that is asked for.

    Raises:
        UserError: it cannot be one, or the password is too weak.
    """
    with EventStore(store_url) as store:
        accounts = Accounts(store)
        accounts.check_new(name)
        name = accounts.add(name, ask_password(), role, cameras, COMMAND_LINE)
        _say(console, f"{name} may sign in to the console as {role}, and see {_cameras(cameras)}")
        if not any(one.role is Role.ADMIN for one in accounts.all()):
            _say(console, "nobody is an admin yet: `msflow-stream console user role NAME admin` makes one")


def list_users(store_url: str, console: Console, form: Form = "table") -> None:
    """Prints the users; None for cameras is all of them."""
    with _open(store_url) as store:
        found = Accounts(store).all()
    if form != "table":
        print_rows(console, form, NAMES, [_values(one) for one in found])
        return
    if not found:
        _say(console, "no users: the console can be used at this machine only, by whoever sits there")
        return
    rows = [[one.name, str(one.role), _cameras(one.cameras), _day(one.created), _day(one.seen)] for one in found]
    console.print(table(f"{len(rows)} {'user' if len(rows) == 1 else 'users'}", COLUMNS, rows))


def remove(store_url: str, name: str, console: Console) -> None:
    """Removes a user and ends their sessions.

    Raises:
        UserError: there is none of that name, or nobody else is an admin.
    """
    with _open(store_url) as store:
        accounts = Accounts(store)
        accounts.remove(name, COMMAND_LINE, even_last=True)
        _say(console, f"{normal_name(name)} is removed")
        if not accounts.any():
            _say(console, "there are no users now: the console can be used at this machine only")


def set_role(store_url: str, name: str, role: Role, console: Console) -> None:
    """Changes what a user may do, and ends their sessions."""
    with _open(store_url) as store:
        Accounts(store).set_role(name, role, COMMAND_LINE)
    _say(console, f"{normal_name(name)} is {role} from the next sign-in on")


def set_cameras(store_url: str, name: str, cameras: Sequence[str] | None, console: Console) -> None:
    """Changes which cameras a user may see; None: all."""
    with _open(store_url) as store:
        Accounts(store).set_cameras(name, cameras, COMMAND_LINE)
    _say(console, f"{normal_name(name)} sees {_cameras(cameras)}")


def set_password(store_url: str, name: str, console: Console) -> None:
    """Changes a user's password, which is asked for, and ends their sessions."""
    with _open(store_url) as store:
        accounts = Accounts(store)
        accounts.check_known(name)
        accounts.set_password(name, ask_password(), COMMAND_LINE)
    _say(console, f"{normal_name(name)} has a new password, and is signed out everywhere")


def sign_out(store_url: str, name: str, console: Console) -> None:
    """Ends all sessions of a user."""
    with _open(store_url) as store:
        ended = Accounts(store).sign_out(name, COMMAND_LINE)
    _say(console, f"{normal_name(name)} is signed out of {ended} {'browser' if ended == 1 else 'browsers'}")


def store_of(store: str | None, out: Path) -> str:
    """Returns the address of the database that the console of a watch's folder uses: the given one, or the watch's.

    Raises:
        UserError: the cameras file of the watch cannot be read.
    """
    if store is not None:
        return store
    record = WatchRecord.read(out)
    if record is not None and Path(record.cameras).is_file():
        return watched_store(load_file(Path(record.cameras)), out)
    return f"sqlite:///{out / DATABASE}"


def _open(store_url: str) -> EventStore:
    """Returns a store that there is: only a first user makes one."""
    store = EventStore(store_url)
    if store.file is not None and not store.file.is_file():
        raise UserError(f"no users yet: there is no event store {store.name}; `console user add` makes one")
    return store


def ask_password() -> str:
    """Returns a password that a person typed twice, or the line on standard input where that is no terminal.

    Raises:
        UserError: there is none, or the two differ.
    """
    if not sys.stdin.isatty():
        line = sys.stdin.readline(4 * MOST).removesuffix("\n").removesuffix("\r")
        if not line:
            raise UserError("no password on standard input: give it as one line, or call this in a terminal")
        return line
    try:
        first, again = getpass.getpass("password: "), getpass.getpass("once more: ")
    except EOFError:
        raise UserError("no password: type one, and the same once more") from None
    if first != again:
        raise UserError("the two passwords differ: try again")
    return first


def camera_names(text: str) -> list[str] | None:
    """Returns the names in a text such as gate,yard; None for all.

    Raises:
        UserError: it has none.
    """
    if text.strip() == "all":
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError("give names of cameras such as gate,yard, or all")
    return names


def _cameras(cameras: Sequence[str] | None) -> str:
    return "all cameras" if cameras is None else ", ".join(cameras) or "no camera"


def _values(user: Account) -> Row:
    values = (user.name, str(user.role), user.cameras, user.created, user.seen)
    return dict(zip(NAMES, values, strict=True))


def _day(moment: datetime | None) -> str:
    return "–" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _say(console: Console, text: str) -> None:
    console.print(escape(one_line(text)), highlight=False, soft_wrap=True)
