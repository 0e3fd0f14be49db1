"""A PostgreSQL server for tests, in a folder of its own, that can be stopped and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

USER, PASSWORD = "guard", "s3cret/@:%"
DEBIAN = Path("/usr/lib/postgresql")
# It is reached by a socket in its folder, and takes little of the disk.
SETTINGS = "listen_addresses=''\nfsync=off\nmax_connections=50\nmin_wal_size=4MB\nmax_wal_size=16MB\n"


def programs() -> Path | None:
    """The folder with initdb and pg_ctl; Debian has one for each version, which is not in the PATH."""
    folders = sorted(DEBIAN.glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    found = shutil.which("initdb")
    return folders[0] if folders else Path(found).parent if found else None


def need_postgres() -> Path:
    """The folder of its programs; skips the test, or fails it in CI, where there are none."""
    folder = programs()
    if folder is not None:
        return folder
    message = "no PostgreSQL server; apt-get install postgresql"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class PostgresServer:
    """A server with passwords. A context manager: made on entry, removed on exit."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # Not in a folder of pytest's: it refuses to run as root, and other users cannot get in there.
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        self._user = _someone_else() if os.geteuid() == 0 else None
        self._count = 0

    def url(self, database: str = "postgres", user: str = USER, password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@/{database}?host={self.folder}"

    @property
    def socket(self) -> Path:
        """What a proxy may forward to."""
        return self.folder / ".s.PGSQL.5432"

    def new_database(self) -> str:
        """The URL of an empty one."""
        self._count += 1
        name = f"events{self._count}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop(self, database: str) -> None:
        """Removes the database of that URL, whoever is connected."""
        name = urlsplit(database).path.removeprefix("/")
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def start(self) -> None:
        """Returns once it can be reached, at the same address each time."""
        self._run("pg_ctl", "start", "-w", "-t", "60", "-l", str(self.folder / "log"), "-o", f"-k {self.folder}")

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is as by a power cut."""
        self._run("pg_ctl", "stop", "-w", "-t", "60", "-m", mode)

    @property
    def runs(self) -> bool:
        return (self.folder / "data" / "postmaster.pid").exists()

    def __enter__(self) -> PostgresServer:
        (self.folder / "password").write_text(PASSWORD)
        if self._user is not None:
            for path in (self.folder, self.folder / "password"):
                shutil.chown(path, self._user)
        password = f"--pwfile={self.folder / 'password'}"
        self._run(
            "initdb", "-U", USER, "--auth=scram-sha-256", password, "--encoding=UTF8", "--no-sync", "--wal-segsize=1"
        )
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.write(SETTINGS)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.runs:
            self.stop("immediate")
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self.folder / "data"), *arguments]
        other = {"user": self._user, "extra_groups": []} if self._user is not None else {}
        # Into a file: the server lives on and would hold a pipe open.
        with (self.folder / "output").open("w+b") as output:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                timeout=120,
                **other,  # type: ignore[call-overload]
            )
            output.seek(0)
            assert done.returncode == 0, f"{command}: {output.read().decode()}"


def by_port(url: str, port: int) -> str:
    """The same database, reached at a port of this machine, as of a proxy."""
    before, _, rest = url.partition("@/")
    return f"{before}@127.0.0.1:{port}/{rest.partition('?')[0]}"


def _someone_else() -> str:
    return next(name for name in ("postgres", "nobody") if any(one.pw_name == name for one in pwd.getpwall()))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of a process; a test that stops it starts it again."""
    with PostgresServer(need_postgres()) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a new database, of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new/events.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.new_database()
    yield url
    server.drop(url)
