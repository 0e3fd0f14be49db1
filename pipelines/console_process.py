"""The console beside a watch: a process of its own, begun again whenever it ends, and ended with the watch."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from random import Random
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import IO, Self

from msflow_stream.config.cameras import Backoff
from msflow_stream.types import UserError

log = logging.getLogger(__name__)

NEEDED = "wsproto"
COMMANDS = f"{__package__}.commands.app"
TOP = Path(__file__).parents[1 + __name__.count(".")]  # holds the package that this file is in
BACKOFF = Backoff(first=1.0, ceiling=60.0, settled=30.0)
CLOSE_SECONDS = 2.0
MISTAKE = 2  # exit code for what a person can mend


def check_installed() -> None:
    """Makes sure that what the console needs besides is there.

    Raises:
        UserError: it is missing.
    """
    if find_spec(NEEDED) is None:
        raise UserError(f"the console needs {NEEDED}: pip install 'msflow-stream[web]'")


class ConsoleProcess:
    """The console as a child of this process. A context manager.

    What it logs is logged here. It has its own process group, so that Ctrl-C reaches the watch alone, which then ends
    it; and it ends by itself when its standard input does, so that it never outlives the watch.

    Args:
        out: the folder that the watch writes to.
        address: host and port.
        store: the address of the database of events, which may hold a password, and so is no argument of a program.
        command: what is run; None: the console.
    """

    def __init__(self, out: Path, address: tuple[str, int], store: str, command: Sequence[str] | None = None) -> None:
        host, port = address
        shown = f"[{host}]" if ":" in host else host
        console = ["console", "--out", str(out), "--http", f"{shown}:{port}", "--attached"]
        self._command = [sys.executable, "-m", COMMANDS, *console] if command is None else list(command)
        paths = [str(TOP), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._environment = os.environ | {"MSFLOW_STORE": store, "PYTHONPATH": os.pathsep.join(paths)}
        self._closing = Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = Thread(target=self._run, name="console", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        process = self._process
        if process is not None:
            with suppress(OSError):
                process.terminate()
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        random, failures = Random(), 0
        while not self._closing.is_set():
            begun = monotonic()
            code = self._run_once()
            if self._closing.is_set():
                return
            failures = 1 if monotonic() - begun > BACKOFF.settled else failures + 1
            wait = BACKOFF.delay(failures, random, slow=code == MISTAKE)
            log.warning("the console has ended (exit code %s); it begins again in %.0f s", code, wait)
            self._closing.wait(wait)

    def _run_once(self) -> int | None:
        """Runs it to its end, and returns its exit code; None if it cannot even begin."""
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=self._environment,
                process_group=0,
            )
        except OSError as error:
            log.warning("the console cannot begin: %s", error)
            return None
        with process:
            self._process = process
            if self._closing.is_set():
                process.terminate()
            assert process.stderr is not None
            self._pass_on(process.stderr)
            return process.wait()

    def _pass_on(self, lines: IO[bytes]) -> None:
        for line in lines:
            if text := line.decode(errors="replace").rstrip():
                level, said = logged_line(text)
                log.log(level, "%s", said if said.startswith("console") else f"console: {said}")


def logged_line(line: str) -> tuple[int, str]:
    """Returns level and text of a line that the console has logged, as JSON; or that it ended with, as plain text."""
    try:
        values = json.loads(line)
        level = logging.getLevelNamesMapping().get(values["level"], logging.WARNING)
        return level, "\n".join(filter(None, (values["message"], values.get("exc_info"))))
    except (ValueError, TypeError, KeyError):
        return logging.WARNING, line
