from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from msflow_stream.events.store import EventStore
from msflow_stream.events.store.connection import read_address, reason
from msflow_stream.types import UserError
from tests.support.events import message
from tests.support.postgres import PASSWORD, USER, PostgresServer


def test_the_folder_of_a_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b c" / "events.db"
    with EventStore(f"sqlite:///{path}") as store:
        assert (store.file, path.exists()) == (path, False)
        store.save(message())
    assert path.is_file()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with EventStore(f"sqlite:///{tmp_path}/file/events.db") as store, pytest.raises(UserError) as refused:
        store.save(message())
    assert f"{tmp_path}/file/events.db cannot be opened: " in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_is_known_by_its_usual_names(postgres_server: PostgresServer, scheme: str) -> None:
    url = postgres_server.new_database().replace("postgresql://", f"{scheme}://")
    with EventStore(url) as store:
        assert store.save(message())
        assert store.file is None
        assert store.name.startswith("postgresql+psycopg://***@")
        assert not any(secret in store.name for secret in (USER, PASSWORD))


@pytest.mark.parametrize(
    "address",
    [
        *("", "events.db", "watched/events.db", "sqlite://", "sqlite:///:memory:", "sqlite://host/events.db"),
        *("mysql://guard:hidden@host/db", "postgresql+asyncpg://guard:hidden@host/db"),
        *("postgresql://guard:hid@den@host/db", "postgresql://guard:hidden@host:port/db", "postgresql:/guard:hidden"),
    ],
)
def test_other_addresses_are_refused_in_a_line_that_shows_how_to_write_them(address: str) -> None:
    with pytest.raises(UserError, match="give sqlite:///FOLDER/events") as refused:
        EventStore(address)
    assert not any(part in str(refused.value) for part in ("hid", "guard"))
    assert refused.value.__context__ is None or refused.value.__suppress_context__


def test_without_the_driver_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match=r"pip install 'msflow-stream\[postgres\]'"):
        EventStore("postgresql://guard:hidden@host/db")


def test_an_option_that_the_driver_does_not_know_is_said(postgres_server: PostgresServer) -> None:
    with EventStore(postgres_server.url() + "&passwort=hidden") as store, pytest.raises(UserError) as refused:
        store.save(message())
    assert 'cannot be opened: invalid connection option "passwort"' in str(refused.value)
    assert "hidden" not in str(refused.value)
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql://guard:hid%40den@host/db", "postgresql://host/db?password=hid%40den"])
def test_a_password_that_a_driver_repeats_is_masked(url: str) -> None:
    error = OperationalError("SELECT 1", {}, Exception('cannot parse "hid@den"\nin the address'))
    assert reason(read_address(url), error) == 'cannot parse "***" in the address'
