"""The connection to a store: its address, its engine, its errors without credentials, and its migrations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from msflow_stream.logs import Redactor, redact
from msflow_stream.types import UserError

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")
BUSY_SECONDS = 30  # that a writer of SQLite waits for the others

# Of libpq: a server that does not answer is an error in the end. Seconds, and milliseconds.
PATIENCE = {"connect_timeout": 10, "tcp_user_timeout": 30_000}

MIGRATIONS = Path(str(files(__package__).joinpath("migrations")))
VERSION_TABLE = "msflow_stream_version"  # the database may be shared with a program that has an alembic_version
LOCK = 0x6D73666C6F77  # of PostgreSQL; any number that others do not use


class StoreUnavailable(UserError):  # noqa: N818 - names the state that passes
    """The database cannot be reached, or cannot take anything now: the same call may succeed later."""


def read_address(text: str) -> URL:
    """Returns the URL of a store.

    Raises:
        UserError: it names no file of SQLite and no database of PostgreSQL.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise _wrong() from None
    if url.drivername in POSTGRESQL and "@" not in (url.host or ""):  # else of a password, which errors would show
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite" and url.database and url.database != ":memory:" and not url.host:
        return url
    raise _wrong()


def _wrong() -> UserError:
    """Returns an error that does not show what was given, since it is not known where in it a password is."""
    return UserError(
        "this is no address of an event store: give sqlite:///FOLDER/events.db or "
        "postgresql://USER:PASSWORD@HOST/DATABASE, where an @ in the password is written as %40"
    )


def database_file(url: URL) -> Path | None:
    """Returns the file of a SQLite database; None of another one."""
    return Path(url.database) if url.drivername == "sqlite" and url.database else None


def make_engine(url: URL, patience: Mapping[str, int] = PATIENCE, pre_ping: bool = True) -> Engine:
    """Returns an engine, which has not connected yet.

    Args:
        patience: parameters of libpq: how long a server is waited for.
        pre_ping: whether a connection is tried before it is used again.

    Raises:
        UserError: its driver is not installed.
    """
    if database_file(url) is not None:
        # pre_ping notices a server that was restarted; hide_parameters keeps values out of errors and logs.
        return create_engine(url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True)
    waits = {name: value for name, value in patience.items() if name not in url.query}
    try:
        return create_engine(url, connect_args=waits, pool_pre_ping=pre_ping, hide_parameters=True)
    except ImportError:
        raise UserError("PostgreSQL needs a driver: pip install 'msflow-stream[postgres]'") from None


@contextmanager
def translated_errors(url: URL) -> Iterator[None]:
    """Turns errors of a database that is away, locked, full or refuses us into a StoreUnavailable.

    Raises:
        UserError: it is damaged.
    """
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        if type(error) is DatabaseError:  # of no particular class: SQLite says so of a damaged file
            raise UserError(f"event store {shown(url)} is damaged, or is none: {reason(url, error)}") from None
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        if not lost and not isinstance(error, OperationalError | InterfaceError | PoolTimeoutError):
            raise
        raise StoreUnavailable(
            f"event store {shown(url)}: {reason(url, error)}; check the address, and that it runs, is not full and may "
            "be written to"
        ) from None


def shown(url: URL) -> str:
    """Returns the address without credentials."""
    return redact(url.render_as_string(hide_password=False))


def reason(url: URL, error: Exception) -> str:
    """Returns the database's own message in one line without credentials."""
    text = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
    in_query = [str(value) for name, value in url.query.items() if "pass" in name]
    passwords = [str(secret) for secret in (url.password, *in_query) if secret]
    redactor = Redactor(passwords)
    redactor.add_quoted([*passwords, *filter(None, [url.username])])
    return redactor(text)


def migrate(engine: Engine, name: str, migrations: Path = MIGRATIONS) -> None:
    """Makes or changes the tables where needed; programs that do so at once wait for each other.

    Args:
        name: the database, as the error names it.

    Raises:
        UserError: a newer version of the program has changed the tables.
    """
    from alembic import command  # slow to import, here and below
    from alembic.config import Config
    from alembic.script import ScriptDirectory

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
    from alembic.migration import MigrationContext

    found = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    known = {script.revision for script in scripts.walk_revisions()}
    if not known.issuperset(found):
        raise UserError(f"event store {name} was written by a newer version of msflow-stream: update this one")
    return set(found) == set(scripts.get_heads())


def _lock(connection: Connection) -> None:
    """Keeps other programs from migrating until the end of the transaction."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # also makes the changes of the tables one step
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
