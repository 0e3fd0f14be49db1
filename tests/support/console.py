"""The console for tests, and for people who look: `python -m tests.support.console FOLDER --port N`.

That builds a seeded folder (where there is none yet) and serves it until Ctrl-C; with --watch, as if its watch ran.
"""

from __future__ import annotations

import argparse
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from msflow_stream.logs import Redactor
from msflow_stream.web.console.app import make_app
from msflow_stream.web.console.context import Console
from msflow_stream.web.server import WebServer
from pipelines.console import ConsoleJob, open_console
from tests.support.seeded_watch import SeededWatch
from tests.support.seeding import seeded

__all__ = ["ConsoleServer", "console_of", "seeded"]


def console_of(out: Path, prefix: str = "") -> Console:
    """The console of a seeded folder, as its command makes it; its store is to be closed."""
    return open_console(ConsoleJob(out=out, address=("127.0.0.1", 0), prefix=prefix), Redactor())


class ConsoleServer:
    """The real application on a free port of this machine, in a thread. A context manager.

    Attributes:
        url: without a slash at its end.
        console: what its handlers share.
    """

    def __init__(self, out: Path, *, port: int = 0, prefix: str = "") -> None:
        self.console, self.url = console_of(out, prefix), ""
        app = make_app(self.console)
        self._server = WebServer(app, ("127.0.0.1", port), name="console", sockets=True, behind_proxy=True)

    def __enter__(self) -> ConsoleServer:
        self._server.start()
        self.url = self._server.url.rstrip("/")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self.console.store.close()


def main() -> None:
    """Serves a seeded folder until Ctrl-C."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("folder", type=Path)
    ask.add_argument("--port", type=int, default=9841)
    ask.add_argument("--cameras", type=int, default=3)
    ask.add_argument("--events", type=int, default=40)
    ask.add_argument("--hours", type=float, default=24.0)
    ask.add_argument("--no-evidence", action="store_true")
    ask.add_argument("--watch", action="store_true", help="a stand-in answers for the watch")
    given = ask.parse_args()
    out = given.folder / "watched"
    if not (out / ".watch.json").exists():
        started = time.monotonic()
        values = {"cameras": given.cameras, "events": given.events, "hours": given.hours}
        seeded(given.folder, **values, evidence=not given.no_evidence)
        print(f"seeded {given.folder} in {time.monotonic() - started:.1f} s", flush=True)  # noqa: T201
    with ExitStack() as stack:
        if given.watch:
            stack.enter_context(SeededWatch(out))
        server = stack.enter_context(ConsoleServer(out, port=given.port))
        print(server.url, flush=True)  # noqa: T201
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
