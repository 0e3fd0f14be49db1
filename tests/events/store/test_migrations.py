from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from pathlib import Path
from threading import Event, Thread

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from msflow_stream.events.store import EventStore
from msflow_stream.events.store.connection import MIGRATIONS, VERSION_TABLE, make_engine, migrate, read_address
from msflow_stream.events.store.tables import Base, event_values
from msflow_stream.types import UserError
from msflow_stream.web.access.tables import UserRow
from tests.support.events import REASON, WALL, event, message

LATER = """
import sqlalchemy as sa
from alembic import op

revision = "later"
down_revision = "0005"


def upgrade():
    op.add_column("events", sa.Column("plate", sa.String()))
"""


def later_migrations(folder: Path) -> Path:
    """Those of a later version of the program, which has a column more."""
    shutil.copytree(MIGRATIONS, folder)
    (folder / "versions" / "r9999_plates.py").write_text(LATER)
    return folder


def migrate_to(url: str, migrations: Path) -> None:
    engine = make_engine(read_address(url))
    try:
        migrate(engine, "it", migrations)
    finally:
        engine.dispose()


def test_the_migrations_make_the_tables_that_the_program_uses(store_url: str) -> None:
    with EventStore(store_url) as store:
        store.open()
    engine = make_engine(read_address(store_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert UserRow.metadata is Base.metadata
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_an_old_database_is_migrated_with_all_that_is_in_it(store_url: str, tmp_path: Path) -> None:
    with EventStore(store_url) as store:
        store.save(message("old"))
        store.label("old", "normal")
    migrate_to(store_url, later_migrations(tmp_path / "later"))
    engine = make_engine(read_address(store_url))
    with engine.connect() as connection:
        assert "plate" in {column["name"] for column in inspect(connection).get_columns("events")}
        assert connection.exec_driver_sql("SELECT id, label, plate FROM events").all() == [("old", "normal", None)]
        assert connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").all() == [("later",)]
    engine.dispose()


def test_a_database_from_before_events_had_reasons_goes_on_with_them(store_url: str, tmp_path: Path) -> None:
    migrations = tmp_path / "first"
    shutil.copytree(MIGRATIONS, migrations)
    for later in sorted((migrations / "versions").glob("r*.py"))[1:]:
        later.unlink()
    url = read_address(store_url)
    if url.database and url.drivername == "sqlite":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    migrate_to(store_url, migrations)
    old = {name: value for name, value in event_values(event("old")).items() if name != "why"}
    columns = ", ".join(f'"{name}"' for name in (*old, "happened", "kept"))
    values = [json.dumps(value) if isinstance(value, list) else value for value in old.values()]
    engine = make_engine(url)
    with engine.begin() as connection:
        marks = ", ".join(f":v{number}" for number in range(len(old) + 2))
        row = {f"v{number}": value for number, value in enumerate([*values, WALL, False])}
        connection.execute(text(f"INSERT INTO events ({columns}) VALUES ({marks})"), row)
    engine.dispose()
    with EventStore(store_url) as store:
        assert store.get("old").event == event("old")
        store.save(message("new", why=REASON))
        assert store.get("new").event.why == REASON
        assert store.get("old").event.why is None


def test_what_a_watch_of_an_earlier_version_writes_while_the_database_is_migrated_is_kept(
    store_url: str, tmp_path: Path
) -> None:
    migrations = tmp_path / "earlier"
    shutil.copytree(MIGRATIONS, migrations)
    for later in sorted((migrations / "versions").glob("r*.py"))[2:]:
        later.unlink()
    url = read_address(store_url)
    if url.database and url.drivername == "sqlite":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    migrate_to(store_url, migrations)
    columns = {name: value for name, value in event_values(event("old")).items() if value is not None}
    columns |= {"happened": WALL, "kept": False, "regions": "[]", "tracks": "[]", "triggers": "[]", "id": ""}
    names, marks = (", ".join(wrap(name) for name in columns) for wrap in ('"{}"'.format, ":{}".format))
    statement, engine = text(f"INSERT INTO events ({names}) VALUES ({marks})"), make_engine(url)
    written, migrated = 0, Event()

    def write() -> None:
        nonlocal written
        while not (migrated.is_set() and written % 5 == 0):
            with engine.begin() as connection:
                connection.execute(statement, {**columns, "id": f"e{written}"})
            written += 1

    watch = Thread(target=write)
    watch.start()
    with EventStore(store_url) as store:
        store.open()
        migrated.set()
        watch.join(60)
        assert written > 0
        assert sorted(one.event.id for one in store.find()) == sorted(f"e{number}" for number in range(written))
        store.decide(["e0"], "ann", label="unsure", note="old")
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(store_url: str, tmp_path: Path) -> None:
    with EventStore(store_url) as store:
        store.open()
    migrate_to(store_url, later_migrations(tmp_path / "later"))
    with EventStore(store_url) as store:
        with pytest.raises(UserError, match="was written by a newer version of msflow-stream: update this one"):
            store.open()
        with pytest.raises(UserError, match="newer version"):
            store.save(message())


def test_a_migration_that_fails_leaves_the_database_as_it_was(store_url: str, tmp_path: Path) -> None:
    with EventStore(store_url) as store:
        store.save(message("old"))
    migrations = later_migrations(tmp_path / "later")
    with (migrations / "versions" / "r9999_plates.py").open("a") as file:
        file.write("    raise RuntimeError('half way')\n")
    with pytest.raises(RuntimeError, match="half way"):
        migrate_to(store_url, migrations)
    with EventStore(store_url) as store:
        assert [one.event.id for one in store.find()] == ["old"]
    engine = make_engine(read_address(store_url))
    assert "plate" not in {column["name"] for column in inspect(engine).get_columns("events")}
    engine.dispose()


def test_a_database_that_has_another_programs_tables_is_shared(store_url: str) -> None:
    url = read_address(store_url)
    if url.database and url.drivername == "sqlite":
        Path(url.database).parent.mkdir(parents=True)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('theirs')")
    with EventStore(store_url) as store:
        store.save(message())
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").all() == [("theirs",)]
    engine.dispose()


def test_the_migrations_are_packages_so_that_a_wheel_has_them() -> None:
    for folder in (MIGRATIONS, MIGRATIONS / "versions"):
        assert (folder / "__init__.py").is_file()
    assert MIGRATIONS.is_relative_to(Path(sys.modules["msflow_stream"].__path__[0]))


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    path.write_text("these are my notes\n" * 100)
    with (
        EventStore(f"sqlite:///{path}") as store,
        pytest.raises(UserError, match=r"is damaged, or is none: file is not"),
    ):
        store.open()
    assert path.read_text() == "these are my notes\n" * 100


def test_a_database_with_a_table_of_that_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (concert TEXT)")
    connection.close()
    with EventStore(f"sqlite:///{path}") as store, pytest.raises(UserError, match="table events already exists"):
        store.open()
