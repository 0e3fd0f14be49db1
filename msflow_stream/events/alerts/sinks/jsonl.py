"""Messages as lines of JSON, in a file or on standard output."""

from __future__ import annotations

import sys

from msflow_stream.config.alerts import JsonLinesSettings
from msflow_stream.events.alerts.sinks.base import AlertMessage, AlertSink, Retry
from msflow_stream.files import append_line


class JsonLines(AlertSink):
    """A file, or standard output, that gets a line per message at once."""

    _settings: JsonLinesSettings

    def write(self, message: AlertMessage) -> None:
        """Appends the message's line."""
        file = self._settings.file
        try:
            if file is not None:
                append_line(file, message.text, self._settings.max_bytes, self._settings.keep)
            else:
                sys.stdout.write(message.text + "\n")
                sys.stdout.flush()
        except OSError as error:
            raise Retry(f"cannot write {file or 'standard output'}: {error.strerror}") from None
