"""`console`: the pages for people who watch cameras, served beside a watch or by itself."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from msflow_stream.config.cameras_file import load_file
from msflow_stream.cores import spare_others, stand_back
from msflow_stream.events.store import EventStore
from msflow_stream.logs import Redactor
from msflow_stream.stream.signals import on_signals
from msflow_stream.types import UserError
from msflow_stream.watch.event_router import DATABASE, secrets_of, store_url
from msflow_stream.web.access.accounts import check_open
from msflow_stream.web.console.app import make_app
from msflow_stream.web.console.context import PREFIX, Console
from msflow_stream.web.server import WebServer
from msflow_stream.web.watch_client import WatchClient
from msflow_stream.web.watch_record import WatchRecord

from .terminal.log_setup import logged

log = logging.getLogger(__name__)

AUTO = "auto"
NICENESS = 10  # whoever scores goes first
MEMORY_SHARE = 500  # of 1000, by which its memory counts for more, when it runs out
LOOK_EVERY = 5.0  # seconds between looks whether the server still runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleJob:
    """The request to `console`.

    Attributes:
        out: the folder that the watch writes to.
        address: host and port.
        prefix: path below which a reverse proxy shows the pages; auto: as the proxy says.
        cameras, scenes: the cameras file and the folder of the scenes; None: those of the watch.
        store: address of the database of events; None: that of the cameras file.
        attached: whether it ends when its standard input does, and logs for a program, the watch.
    """

    out: Path
    address: tuple[str, int]
    prefix: str = ""
    cameras: Path | None = None
    scenes: Path | None = None
    store: str | None = None
    attached: bool = False


def serve(job: ConsoleJob) -> None:
    """Serves the pages until SIGTERM or Ctrl-C.

    Raises:
        UserError: a folder, a file, a database or an address that cannot be used.
    """
    with logged("json" if job.attached else "text") as redactor, ExitStack() as stack:
        stand_back(NICENESS)
        spare_others(MEMORY_SHARE)
        console = open_console(job, redactor)
        stack.callback(console.store.close)
        check_open(job.address[0], console.accounts)
        server = WebServer(make_app(console), job.address, name="console", sockets=True, behind_proxy=True)
        stop = Event()
        with on_signals(dict.fromkeys((signal.SIGTERM, signal.SIGINT), stop.set)), server:
            log.info("console: %s", server.url)
            if job.attached:
                Thread(target=_until_input_ends, args=(stop.set,), name="input", daemon=True).start()
            while not stop.wait(LOOK_EVERY):
                if not server.runs:
                    raise UserError("the console has failed; the log says why")


def open_console(job: ConsoleJob, redactor: Redactor) -> Console:
    """Returns what the pages share; its store is to be closed.

    Raises:
        UserError: something of it cannot be used.
    """
    if job.prefix != AUTO and not PREFIX.fullmatch(job.prefix.rstrip("/")):
        raise UserError(f"--prefix takes a path such as /cameras, or {AUTO}, not {job.prefix!r}")
    record = WatchRecord.read(job.out)
    if record is None and not job.out.is_dir():
        raise UserError(f"{job.out} is no folder that a watch has written to; give another --out")
    cameras = _cameras_file(job, record)
    store = job.store
    if job.cameras is not None or (cameras is not None and store is None):
        file = load_file(cameras or job.out)
        redactor.add(secrets_of(file))
        store = store or store_url(file, job.out)
    store = store or f"sqlite:///{job.out / DATABASE}"
    redactor.add_credentials([store])
    return Console(
        out=job.out,
        cameras_file=cameras,
        scenes=job.scenes or Path("scenes" if record is None else record.scenes),
        store=EventStore(store),
        watch=WatchClient(job.out),
        prefix=None if job.prefix == AUTO else job.prefix.rstrip("/"),
    )


def _cameras_file(job: ConsoleJob, record: WatchRecord | None) -> Path | None:
    """Returns the cameras file that was given, or that of the watch if it is still there."""
    if job.cameras is not None or record is None:
        return job.cameras
    found = Path(record.cameras)
    if not found.exists():  # as in a folder from another machine
        log.warning("%s is not there: the console does without it", found)
        return None
    return found


def _until_input_ends(then: Callable[[], object]) -> None:
    """Waits for the end of the standard input, which whoever began this program holds open."""
    while os.read(sys.stdin.fileno(), 4096):  # without a buffer, whose lock a program that ends would want
        pass
    then()
