"""Brings the tables of a database up to what this version of the program knows."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from msflow_stream.types import UserError

MIGRATIONS = Path(__file__).with_name("migrations")
VERSION_TABLE = "msflow_stream_version"  # the database may be shared with a program that has an alembic_version
LOCK = 0x6D73666C6F77  # of PostgreSQL; any number that others do not use


def migrate(engine: Engine, name: str, migrations: Path = MIGRATIONS) -> None:
    """Makes or changes the tables where that is needed; programs that do so at once wait for each other.

    Args:
        name: of the database, for the error.

    Raises:
        UserError: a newer version of the program has changed the tables.
    """
    config = Config(attributes={"version_table": VERSION_TABLE})
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with engine.begin() as connection:
        if _is_current(connection, scripts, name):
            return
    with engine.begin() as connection:
        _lock(connection)
        if not _is_current(connection, scripts, name):  # another program may have been faster
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _is_current(connection: Connection, scripts: ScriptDirectory, name: str) -> bool:
    found = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    known = {script.revision for script in scripts.walk_revisions()}
    if not known.issuperset(found):
        raise UserError(f"event store {name} was written by a newer version of msflow-stream: update this one")
    return set(found) == set(scripts.get_heads())


def _lock(connection: Connection) -> None:
    """Until the end of the transaction."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # also makes the changes of the tables one step
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
