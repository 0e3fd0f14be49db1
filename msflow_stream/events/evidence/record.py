"""What is said of an event's evidence, in its event.json."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from msflow_stream.events.evidence.event_folder import CLOSED, write_event
from msflow_stream.events.evidence.parts import Part
from msflow_stream.types import EventMessage

logger = logging.getLogger(__name__)


class Record:
    """The newest message of an event and what came of its files; written when there is something new.

    Attributes:
        folder: the event's.
        message: the newest one.
        losses: counts what is missing, by cause.
        written: event.json says all that is known.
    """

    def __init__(
        self, folder: Path, message: EventMessage, losses: Counter[str], pause: float, clock: Callable[[], float]
    ) -> None:
        """Makes the folder and its event.json; `pause` is in seconds, from a failure to the next attempt.

        Raises:
            OSError: they cannot be written.
        """
        self.folder, self.message, self.losses = folder, message, losses
        self._pause, self._clock, self._failed = pause, clock, -math.inf
        self._notes: list[str] = []
        self._said: object = None
        folder.mkdir(parents=True, exist_ok=True)
        write_event(folder, message, {})
        self.written = True

    def update(self, message: EventMessage) -> bool:
        """Takes a message, and says whether it is newer than the one before."""
        newer = message.event.version > self.message.event.version
        self.message = message if newer else self.message
        return newer

    def until(self, post_roll: float) -> float:
        """How far the clips go: so many seconds beyond the end, for ever while there is none."""
        end = self.message.event.end
        return math.inf if end is None or self.message.kind != CLOSED else end + post_roll

    def note(self, note: str) -> None:
        """Notes what somebody who looks at the files should know; once."""
        if note not in self._notes:
            self._notes.append(note)

    def lose(self, what: str, error: Exception) -> None:
        """Counts a file that the disk did not take, or not whole."""
        reason = getattr(error, "strerror", None) or str(error)
        self.losses["disk"] += 1
        self.note(f"{what} is not whole: {reason}")
        logger.warning("%s: %s is not whole: %s", self.folder, what, reason)

    def save(self, clips: Sequence[Part], overlays: Sequence[Part], over: bool, force: bool = False) -> None:
        """Writes event.json if anything has changed; what cannot be written is tried again later, or now by `force`."""
        files = [part.file for part in (*clips, *overlays)]
        news = (self.message.kind, self.message.event.version, files, list(self._notes), over)
        if news == self._said or (not force and self._clock() - self._failed < self._pause):
            return
        evidence = {
            "clips": [asdict(part) for part in clips],
            "overlays": [asdict(part) for part in overlays],
            "notes": self._notes,
        }
        try:
            write_event(self.folder, self.message, evidence)
        except OSError as error:
            if self.written:
                self.lose("event.json", error)
            self.written, self._failed = False, self._clock()
        else:
            self.written, self._said = True, news
