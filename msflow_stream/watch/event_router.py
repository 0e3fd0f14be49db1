"""The router of a watch's events: into the store, and to the alerts that the cameras file names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from random import Random

from msflow_stream.config.cameras import Cameras
from msflow_stream.events.alerts.adoption import QUEUES, take_over
from msflow_stream.events.alerts.delivery import AlertReport
from msflow_stream.events.alerts.dispatcher import AlertDispatcher
from msflow_stream.events.alerts.sinks.base import retrying
from msflow_stream.events.store import EventFilter, EventStore, StoreUnavailable
from msflow_stream.types import Event, EventMessage, LeaseMark

log = logging.getLogger(__name__)

STORE = "store"  # the name under which the store's queue is reported
DATABASE = "events.db"
SNAPSHOT = "snapshot_overlay.jpg"


class EventRouter:
    """The receivers of all event messages, each with a queue on disk and a thread of its own. To be closed.

    Args:
        file: the cameras file.
        out: the folder that the watch writes to.
        random: draws the jitter of waits.
        queues: the folder of the queues, in one that has the name of this node; None: in `out`, as there is one only.
        mark: the mark of what is made of a camera now, None where another machine may have it; None marks nothing, as
            one machine watches alone.

    Raises:
        UserError: a store that cannot be one or is of a newer program, an alert that cannot begin or is not there.
    """

    def __init__(
        self,
        file: Cameras,
        out: Path,
        random: Random,
        *,
        queues: Path | None = None,
        mark: Callable[[str], LeaseMark | None] | None = None,
    ) -> None:
        """Opens the store, and delivers what an earlier watch left."""
        self._out, self._mark = out, mark
        self._store = EventStore(store_url(file, out))
        self._dispatcher = AlertDispatcher(
            file.alerts,
            queues or out / QUEUES,
            random,
            routes=_routes(file),
            always={STORE: retrying(self._save, StoreUnavailable)},
            snapshot=self._snapshot,
            node="" if queues is None else queues.parent.name,
        )

    def _save(self, message: EventMessage) -> None:
        if not self._store.save(message) and message.lease is not None:
            log.info(
                "%s, version %d: the store has as much, or does not take it", message.event.id, message.event.version
            )

    def _snapshot(self, event: Event) -> Path:
        return self._out / event.source / "events" / event.id / SNAPSHOT

    def publish(self, message: EventMessage, camera: str) -> bool:
        """Puts a message into every queue that it is for, and returns; from any thread.

        Returns:
            False if another machine may have the camera: then it is in none, and the other one ends the event.
        """
        if self._mark is not None:
            mark = self._mark(camera)
            if mark is None:
                return False
            message = replace(message, lease=mark)
        self._dispatcher.publish(message, camera)
        return True

    def reroute(self, file: Cameras) -> None:
        """Follows a changed cameras file: which camera's events go where. The alerts themselves stay as they are.

        Raises:
            UserError: an alert that a camera names was not there at the start; nothing has changed.
        """
        self._dispatcher.reroute(_routes(file))

    def test(self, name: str) -> None:
        """Sends a message about an event that is plainly a test to an alert.

        Raises:
            UserError: as `AlertDispatcher.test`.
        """
        self._dispatcher.test(name)

    def retry_dead(self, name: str) -> int:
        """Queues the dead letters of an alert again, and returns their number.

        Raises:
            UserError: as `AlertDispatcher.retry_dead`.
        """
        return self._dispatcher.retry_dead(name)

    def is_kept(self, id: str) -> bool:
        """Returns whether a person marked the event to be kept."""
        return id in self._store.kept_ids()

    def labels(self, camera: str, since: datetime) -> list[tuple[datetime, str | None]]:
        """Returns when the events of a camera began, and what people said of them."""
        return [(one.happened, one.label) for one in self._store.find(EventFilter(camera=camera, since=since))]

    def take_over(self, home: Path, is_away: Callable[[str], bool]) -> list[str]:
        """Takes over what dead nodes had to deliver, and returns their names, as `adoption.take_over`."""
        return take_over(home, self._dispatcher, is_away)

    def report(self) -> Mapping[str, AlertReport]:
        """Returns the figures of each receiver, by name."""
        return self._dispatcher.report()

    def close(self, timeout: float) -> None:
        """Delivers what can be delivered at once; the rest stays for the next start."""
        self._dispatcher.close(timeout)
        self._store.close()


def store_url(file: Cameras, out: Path) -> str:
    """Returns the address of the database of events."""
    return f"sqlite:///{out / DATABASE}" if file.store is None else file.store.get_secret_value()


def secrets_of(file: Cameras) -> Iterator[str]:
    """Yields the secrets of all alerts, which must not show anywhere."""
    for alert in file.alerts.values():
        yield from alert.secrets()


def _routes(file: Cameras) -> dict[str, tuple[str, ...]]:
    everything = tuple(file.alerts)
    return {name: everything if one.alerts is None else one.alerts for name, one in file.cameras.items()}
