"""Messages to a program that is run for each."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from typing import IO

from msflow_stream.config.alerts import CommandSettings
from msflow_stream.events.alerts.sinks.base import AlertSink, Retry, encode
from msflow_stream.logs import Redactor
from msflow_stream.types import EventMessage

logger = logging.getLogger(__name__)

TAIL = 2000  # bytes of what a failed program said that are logged


class Command(AlertSink):
    """Runs the program with the message's JSON as standard input; exit code 0 says that all is well."""

    def __init__(self, settings: CommandSettings, hide: Redactor) -> None:
        self._settings, self._hide = settings, hide

    def deliver(self, message: EventMessage) -> None:
        # Files and not pipes: a program need not read, and may leave others behind that keep a pipe open.
        try:
            with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
                given.write(encode(message).encode())
                given.seek(0)
                self._run(given, said)
        except OSError as error:
            raise Retry(f"cannot run {self._settings.command[0]}: {error.strerror}") from None

    def _run(self, given: IO[bytes], said: IO[bytes]) -> None:
        command = self._settings.command
        process = subprocess.Popen(command, stdin=given, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True)
        try:
            code = process.wait(self._settings.timeout)
        except subprocess.TimeoutExpired:
            raise Retry(f"{command[0]} does not end within {self._settings.timeout:g} s") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if code:
            self._log(said)
            raise Retry(f"{command[0]} ends with exit code {code}")

    def _log(self, said: IO[bytes]) -> None:
        size = said.seek(0, os.SEEK_END)
        said.seek(max(0, size - TAIL))
        if text := said.read().decode(errors="replace").strip():
            logger.warning("%s says: %s", self._settings.command[0], self._hide(text))
