"""The dispatcher of event messages: each goes into the queue of every channel that it is for."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from time import monotonic

from msflow_stream.config.alerts import Alert
from msflow_stream.config.cameras import Backoff
from msflow_stream.events.alerts.channel import AlertChannel, ChannelContext, StoreChannel, local_now
from msflow_stream.events.alerts.delivery import AlertReport
from msflow_stream.events.alerts.sinks.base import AlertMessage, Delivery, Snapshot
from msflow_stream.events.serialization import encode
from msflow_stream.types import Event, EventMessage, Reason, UserError

log = logging.getLogger(__name__)

Routes = Mapping[str, Collection[str]]  # the alerts of each camera, by name
TEST_SECONDS = 10.0  # for an answer to a test
TEST = "test"  # what its event's camera is called


class AlertDispatcher:
    """All alerts of a program, each with a queue on disk and a thread of its own. To be closed.

    >>> dispatcher = AlertDispatcher(alerts, folder, Random(), routes={"gate": ["guard"]})  # doctest: +SKIP
    >>> dispatcher.publish(EventMessage("open", event), "gate")  # doctest: +SKIP
    """

    def __init__(
        self,
        alerts: Mapping[str, Alert],
        folder: Path,
        random: Random,
        *,
        routes: Routes,
        always: Mapping[str, Delivery] | None = None,
        snapshot: Snapshot | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], datetime] = local_now,
        node: str = "",
    ) -> None:
        """Starts, and delivers what an earlier run left.

        Args:
            alerts: the settings of each alert, by name.
            folder: the folder of queues and dead letters, for one program at a time.
            random: draws the jitter of the waits.
            routes: the alerts that the events of each camera go to.
            always: deliveries that take everything of all cameras, such as the store's; by name.
            snapshot: gives the path of an event's snapshot, for mails.
            backoff: the waits after failures.
            clock: local time, for filters by time.
            node: as of `SinkContext`.

        Raises:
            UserError: an alert that a camera names is not there, two have one name, or one cannot begin.
        """
        always = always or {}
        if twice := alerts.keys() & always.keys():
            raise UserError(f"alert {min(twice)}: this name is taken; choose another one")
        _check(alerts, routes)
        shared = ChannelContext(folder, random, backoff, snapshot, clock, node)
        self._alerts, self._routes = frozenset(alerts), routes
        self._channels: list[AlertChannel | StoreChannel] = [
            StoreChannel(name, deliver, shared) for name, deliver in always.items()
        ]
        try:
            for name, alert in alerts.items():
                self._channels.append(AlertChannel(name, alert, _cameras(name, routes), shared))
        except UserError as error:
            self.close(1.0)
            raise UserError(f"alert {name}: {error}") from None

    def publish(self, message: EventMessage, camera: str) -> None:
        """Puts a message in every queue that it is for, and returns; from any thread, in order for each event."""
        names = self._routes.get(camera, ())
        for channel in self._channels:
            channel.write(message, camera, channel.name in names)

    def reroute(self, routes: Routes) -> None:
        """Sends events by other routes from now on.

        Raises:
            UserError: an alert that a camera names is not there; nothing has changed.
        """
        _check(self._alerts, routes)
        self._routes = routes
        for channel in self._channels:
            channel.announce(_cameras(channel.name, routes))

    def test(self, name: str, timeout: float = TEST_SECONDS) -> None:
        """Sends a message about an event that is plainly a test by an alert's own way.

        Raises:
            UserError: there is no such alert, or it could not be delivered within so many seconds; no secret is said.
        """
        channel = self._channel(name)
        if not isinstance(channel, AlertChannel):
            raise UserError(f"{name} is no alert; what it keeps shows whether it works")
        channel.test(trial_message(datetime.now(UTC)), timeout)

    def retry_dead(self, name: str) -> int:
        """Queues the dead letters of an alert or the store again, and returns their number.

        Raises:
            UserError: there is no such alert, or they cannot be queued.
        """
        return self._channel(name).retry_dead()

    def adopt(self, folder: Path, name: str) -> bool:
        """Takes over what waits in the folder of another program's queues, which has ended, and empties it.

        Returns:
            False where some of it cannot be taken over, as there is no alert of its name, or not yet: it stays there.
        """
        channels = {channel.name: channel for channel in self._channels}
        for path in sorted(folder.glob("*.sqlite")):
            channel = channels.get(path.stem)
            if channel is None:
                log.warning("%s stays: there is no alert %s any more", path, path.stem)
            elif channel.adopt(folder, name):
                for ending in ("", "-wal", "-shm"):
                    path.with_name(path.name + ending).unlink(missing_ok=True)
        return not any(folder.glob("*.sqlite"))

    def _channel(self, name: str) -> AlertChannel | StoreChannel:
        for channel in self._channels:
            if channel.name == name:
                return channel
        raise UserError(f"there is no alert {name!r}")

    def report(self) -> Mapping[str, AlertReport]:
        """Returns the figures of each channel, by name; never waits for one."""
        return {channel.name: channel.report() for channel in self._channels}

    def close(self, timeout: float = 5.0) -> None:
        """Delivers what can be delivered at once, for so many seconds in all; the rest stays for the next run."""
        end = monotonic() + timeout
        for channel in self._channels:
            channel.ask_to_close()
        for channel in self._channels:
            channel.close(max(0.0, end - monotonic()))


def trial_message(now: datetime) -> AlertMessage:
    """Returns a message about an event that is plainly a test, to see whether an alert arrives."""
    why = Reason("this is a test: nothing has happened", "appearance", 0, 0.0, 0.0, None, 0.0, "nowhere", (0.5, 0.5))
    event = Event(
        id=f"{TEST}-{now:%Y%m%dT%H%M%S%f}",
        source=TEST,
        scene=TEST,
        triggers=(TEST,),
        start=0.0,
        end=0.0,
        start_wall=now,
        end_wall=now,
        peak_score=0.0,
        peak_index=0,
        peak_time=0.0,
        probability=None,
        severity="low",
        regions=(),
        tracks=(),
        version=1,
        why=why,
    )
    return AlertMessage.read(encode(EventMessage("close", event)))


def _cameras(alert: str, routes: Routes) -> list[str]:
    return [camera for camera, names in routes.items() if alert in names]


def _check(alerts: Collection[str], routes: Routes) -> None:
    for camera, names in routes.items():
        for name in names:
            if name not in alerts:
                near = difflib.get_close_matches(name, alerts, n=1, cutoff=0.0)
                hint = f"did you mean {near[0]!r}?" if near else "there are none"
                raise UserError(f"camera {camera}: there is no alert {name!r}: {hint}")
