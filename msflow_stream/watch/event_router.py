"""The router of a watch's events: into the store, and to the alerts that the cameras file names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

from msflow_stream.config.cameras import Cameras
from msflow_stream.events.alerts.delivery import AlertReport
from msflow_stream.events.alerts.dispatcher import AlertDispatcher
from msflow_stream.events.alerts.sinks.base import retrying
from msflow_stream.events.store import EventStore, StoreUnavailable
from msflow_stream.types import Event, EventMessage

QUEUES, STORE = ".alerts", "store"  # a folder, and the name under which the store's queue is reported
DATABASE = "events.db"
SNAPSHOT = "snapshot_overlay.jpg"


class EventRouter:
    """The receivers of all event messages, each with a queue on disk and a thread of its own. To be closed.

    Args:
        file: the cameras file.
        out: the folder that the watch writes to.
        random: draws the jitter of waits.

    Raises:
        UserError: a store that cannot be one or is of a newer program, an alert that cannot begin or is not there.
    """

    def __init__(self, file: Cameras, out: Path, random: Random) -> None:
        """Opens the store, and delivers what an earlier watch left."""
        self._out = out
        self._store = EventStore(store_url(file, out))
        self._dispatcher = AlertDispatcher(
            file.alerts,
            out / QUEUES,
            random,
            routes=_routes(file),
            always={STORE: retrying(self._save, StoreUnavailable)},
            snapshot=self._snapshot,
        )

    def _save(self, message: EventMessage) -> None:
        self._store.save(message)

    def _snapshot(self, event: Event) -> Path:
        return self._out / event.source / "events" / event.id / SNAPSHOT

    def publish(self, message: EventMessage, camera: str) -> None:
        """Puts a message into every queue that it is for, and returns; from any thread."""
        self._dispatcher.publish(message, camera)

    def reroute(self, file: Cameras) -> None:
        """Follows a changed cameras file: which camera's events go where. The alerts themselves stay as they are.

        Raises:
            UserError: an alert that a camera names was not there at the start; nothing has changed.
        """
        self._dispatcher.reroute(_routes(file))

    def is_kept(self, id: str) -> bool:
        """Returns whether a person marked the event to be kept."""
        return id in self._store.kept_ids()

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
