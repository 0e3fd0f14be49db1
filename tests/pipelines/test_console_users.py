from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from msflow_stream.events.store import EventStore
from msflow_stream.types import UserError
from msflow_stream.web.access.accounts import Accounts, WrongPassword
from msflow_stream.web.access.roles import Role, User
from msflow_stream.web.watch_record import WatchRecord
from pipelines import console_users
from pipelines.commands.console_users import group
from tests.web.access.people import BROWSER, PASSWORD, accounts_of

app = typer.Typer()
app.add_typer(group, name="user")


@pytest.fixture
def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    monkeypatch.setattr(console_users, "Accounts", accounts_of)
    with EventStore(f"sqlite:///{tmp_path}/events.db") as store:
        yield accounts_of(store)


@pytest.fixture
def user(accounts: Accounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Calls `user ...`, with what is on standard input, and returns what it says."""

    def run(*words: str, typed: str = "") -> str:
        monkeypatch.setenv("COLUMNS", "160")
        done = CliRunner().invoke(app, ["user", *words, "--out", str(tmp_path)], input=typed)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert PASSWORD not in done.output
        return done.output

    return run


def test_a_user_is_added_with_a_password_from_standard_input_and_signs_in(
    accounts: Accounts, user: Callable[..., str]
) -> None:
    said = user("add", "Ann", "--role", "operator", "--cameras", "gate, yard", typed=f"{PASSWORD}\nmore\n")
    assert said.startswith("ann may sign in to the console as operator, and see gate, yard\nnobody is an admin yet")
    token = accounts.sign_in("ann", PASSWORD, "192.0.2.1", BROWSER)
    assert accounts.user(token) == User("ann", Role.OPERATOR, frozenset({"gate", "yard"}))
    assert "gate, yard" in user("list")


def test_a_user_is_changed_and_removed(accounts: Accounts, user: Callable[..., str]) -> None:
    with pytest.raises(UserError, match="`console user add` makes one"):
        user("list")
    accounts.store.open()
    assert user("list").startswith("no users: the console can be used at this machine only")
    user("add", "root", "--role", "admin", typed=PASSWORD)
    user("add", "ann", typed=PASSWORD)
    accounts.sign_in("ann", PASSWORD, "192.0.2.1", BROWSER)
    assert user("sign-out", "ann") == "ann is signed out of 1 browser\n"
    assert user("role", "ann", "operator") == "ann is operator from the next sign-in on\n"
    assert user("cameras", "ann", "gate") == "ann sees gate\n"
    assert user("cameras", "ann", "all") == "ann sees all cameras\n"
    assert "has a new password" in user("password", "ann", typed="another horse\r\n")
    with pytest.raises(WrongPassword):
        accounts.sign_in("ann", PASSWORD, "192.0.2.1", BROWSER)
    accounts.sign_in("ann", "another horse", "192.0.2.1", BROWSER)
    with pytest.raises(UserError, match="root is the only admin"):
        user("remove", "root")
    assert user("remove", "ann") == "ann is removed\n"
    assert "there are no users now" in user("remove", "root")
    assert {one.by for one in accounts.audit_lines(99) if "sign" not in one.action} == {"command line"}


def test_what_is_wrong_is_said_before_a_password_is_asked_for(accounts: Accounts, user: Callable[..., str]) -> None:
    accounts.add("ann", PASSWORD, Role.ADMIN, None, "command line")
    with pytest.raises(UserError, match="there is a user 'ann' already"):
        user("add", "ANN")
    with pytest.raises(UserError, match="there is no user 'bob'"):
        user("password", "bob")
    with pytest.raises(UserError, match="give names of cameras"):
        user("cameras", "ann", " , ")
    with pytest.raises(UserError, match="no password on standard input"):
        user("add", "bob")
    with pytest.raises(UserError, match="at least 10"):
        user("add", "bob", typed="short\n")
    assert [one.name for one in accounts.all()] == ["ann"]


def test_in_a_terminal_the_password_is_asked_for_twice(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([PASSWORD, PASSWORD, PASSWORD, PASSWORD + "!"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    monkeypatch.setattr(sys, "stdin", terminal := io.StringIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    assert console_users.ask_password() == PASSWORD
    with pytest.raises(UserError, match="the two passwords differ"):
        console_users.add(f"sqlite:///{accounts.store.file}", "bob", Role.VIEWER, None, Console(file=io.StringIO()))
    assert not accounts.any()


def test_users_are_in_the_database_that_the_watch_writes_to(tmp_path: Path) -> None:
    cameras = tmp_path / "cameras.yaml"
    cameras.write_text(f"store: sqlite:///{tmp_path}/elsewhere.db\ncameras:\n  gate: {{url: a.mp4, scene: b}}\n")
    assert console_users.store_of(None, tmp_path) == f"sqlite:///{tmp_path}/events.db"
    values = {"pid": 1, "socket": "s", "scenes": "scenes", "started": "", "http": None}
    WatchRecord(cameras=str(cameras), **values).write(tmp_path)
    assert console_users.store_of(None, tmp_path) == f"sqlite:///{tmp_path}/elsewhere.db"
    assert console_users.store_of("sqlite:///a.db", tmp_path) == "sqlite:///a.db"
