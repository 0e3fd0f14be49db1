"""Where messages end that were given up: a file for people to look into, and to send again."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

from msflow_stream.events.alerts.lines import append_line
from msflow_stream.logs import Outage

logger = logging.getLogger(__name__)

MAX_BYTES = 16 * 2**20
KEPT = 3  # files that are put aside


class DeadLetters:
    """A line of JSON for each message that was given up: `time`, `reason` and the `message`."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self._path, self._max_bytes = path, max_bytes
        self._trouble = Outage(logger)

    def add(self, body: str, reason: str) -> None:
        """Notes a message; where that fails it is logged once, never raised."""
        try:
            message = json.loads(body)
        except ValueError:
            message = body
        line = {"time": datetime.now(UTC).isoformat().replace("+00:00", "Z"), "reason": reason, "message": message}
        try:
            append_line(self._path, json.dumps(line, ensure_ascii=False), self._max_bytes, KEPT)
        except OSError as error:
            self._trouble.begin(
                f"cannot write {self._path}: {error.strerror}; alerts that are given up are lost", f"{error.strerror}"
            )
        else:
            self._trouble.end(f"{self._path} is written again")
