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
from msflow_stream.events.alerts.sinks.base import AlertMessage, AlertSink, Retry, SinkContext

logger = logging.getLogger(__name__)

TAIL_BYTES = 2000  # of a failed program's standard error that are logged


class Command(AlertSink):
    """A program that is run with a message's JSON as standard input; exit code 0 says that all is well."""

    _settings: CommandSettings

    def __init__(self, settings: CommandSettings, context: SinkContext) -> None:
        """Takes the number of attempts from the settings: a program that fails on a message may always do so."""
        super().__init__(settings, context)
        self.attempts = settings.attempts

    def write(self, message: AlertMessage) -> None:
        """Runs the program to its end."""
        # Files and not pipes: a program need not read, and may leave others behind that keep a pipe open.
        try:
            with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
                stdin.write(message.text.encode())
                stdin.seek(0)
                self._run(stdin, stderr)
        except OSError as error:
            raise Retry(f"cannot run {self._settings.command[0]}: {error.strerror}") from None

    def _run(self, stdin: IO[bytes], stderr: IO[bytes]) -> None:
        command = self._settings.command
        process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True
        )
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
            self._log(stderr)
            raise Retry(f"{command[0]} ends with exit code {code}")

    def _log(self, stderr: IO[bytes]) -> None:
        size = stderr.seek(0, os.SEEK_END)
        stderr.seek(max(0, size - TAIL_BYTES))
        if text := stderr.read().decode(errors="replace").strip():
            logger.warning("%s says: %s", self._settings.command[0], self._context.redactor(text))
