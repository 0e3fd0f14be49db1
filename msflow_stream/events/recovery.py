"""The journal of a camera's open events, on disk: what was open at a crash is closed at the next start."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

from msflow_stream.events.serialization import event_from_json, event_to_json
from msflow_stream.files import replaced
from msflow_stream.types import Event, EventMessage

log = logging.getLogger(__name__)

REFRESH_SECONDS = 5.0  # by so much may the remembered end of an event be too early


class OpenEventJournal:
    """The open events of one camera, remembered on disk.

    What is left open by a crash comes again until it is forgotten; a `close` that comes twice has the same id and
    version. So remember before an open or an update goes out, and forget after a close has gone out:

        >>> for message in journal.left_open:
        ...     send(message)
        ...     journal.forget(message)
        >>> for score in scores:
        ...     messages = detector.update(score)
        ...     journal.remember(detector.open_event)
        ...     for message in messages:
        ...         send(message)
        ...         journal.forget(message)

    A journal that cannot be read is set aside, and one that cannot be written (a full disk) costs nothing but itself:
    both are logged.

    Attributes:
        left_open: a close for every event that an earlier process left open, its end the last activity known.
    """

    def __init__(self, path: Path) -> None:
        """Reads what an earlier process left open."""
        self._path = path
        self._open = {event.id: event for event in self._read()}
        self._writable = True
        self.left_open = [
            EventMessage("close", replace(event, version=event.version + 1)) for event in self._open.values()
        ]

    def remember(self, open_event: Event | None) -> None:
        """Notes the detector's open event after each frame; writes when it has changed or gone on for 5 s."""
        if open_event is None:
            return
        known = self._open.get(open_event.id)
        if known is None or known.version != open_event.version or _gone_on(known, open_event):
            self._open[open_event.id] = open_event
            self._write()

    def forget(self, message: EventMessage) -> None:
        """Notes a message that has gone out: an event that it closes is remembered no longer."""
        if message.kind == "close" and self._open.pop(message.event.id, None) is not None:
            self._write()

    def _read(self) -> list[Event]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            if not isinstance(content, list):
                raise ValueError("it is not a list")
            return [_ended(event_from_json(values)) for values in content]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            log.warning("%s cannot be read (%s): events it held stay open; it is now %s", self._path, error, aside)
            self._set_aside(aside)
            return []

    def _set_aside(self, aside: Path) -> None:
        try:
            self._path.replace(aside)
        except OSError as error:
            log.warning("%s cannot be set aside: %s", self._path, error)

    def _write(self) -> None:
        try:
            with replaced(self._path) as partial:
                events = [event_to_json(event) for event in self._open.values()]
                partial.write_text(json.dumps(events) + "\n", encoding="utf-8")
            self._writable = True
        except OSError as error:
            if self._writable:  # once, not with every event
                log.warning("%s cannot be written: after a crash events would stay open (%s)", self._path, error)
            self._writable = False


def _gone_on(known: Event, now: Event) -> bool:
    """Returns True if there was activity for long since what is known."""
    assert known.end is not None
    return now.end is not None and now.end - known.end >= REFRESH_SECONDS


def _ended(event: Event) -> Event:
    """Returns the event with an end in any case: one that is left open must be closed."""
    return event if event.end is not None else replace(event, end=event.start, end_wall=event.start_wall)
