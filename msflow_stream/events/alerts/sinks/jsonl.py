"""Messages as lines of JSON, in a file or on standard output."""

from __future__ import annotations

import sys

from msflow_stream.config.alerts import JsonLinesSettings
from msflow_stream.events.alerts.sinks.base import AlertSink, Retry, encode
from msflow_stream.files import append_line
from msflow_stream.types import EventMessage


class JsonLines(AlertSink):
    """Writes a line per message, at once."""

    def __init__(self, settings: JsonLinesSettings) -> None:
        self._settings = settings

    def deliver(self, message: EventMessage) -> None:
        file = self._settings.file
        try:
            if file is not None:
                append_line(file, encode(message), self._settings.max_bytes, self._settings.keep)
            else:
                sys.stdout.write(encode(message) + "\n")
                sys.stdout.flush()
        except OSError as error:
            raise Retry(f"cannot write {file or 'standard output'}: {error.strerror}") from None
