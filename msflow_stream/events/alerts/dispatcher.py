"""The dispatcher of event messages: each goes into the queue of every channel that it is for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path
from random import Random
from time import monotonic

from msflow_stream.config.alerts import Alert
from msflow_stream.config.cameras import Backoff
from msflow_stream.events.alerts.channel import AlertChannel, ChannelContext, StoreChannel, local_now
from msflow_stream.events.alerts.delivery import AlertReport
from msflow_stream.events.alerts.sinks.base import Delivery, Snapshot
from msflow_stream.types import EventMessage, UserError

Routes = Mapping[str, Collection[str]]  # the alerts of each camera, by name


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

        Raises:
            UserError: an alert that a camera names is not there, two have one name, or one cannot begin.
        """
        always = always or {}
        if twice := alerts.keys() & always.keys():
            raise UserError(f"alert {min(twice)}: this name is taken; choose another one")
        _check(alerts, routes)
        shared = ChannelContext(folder, random, backoff, snapshot, clock)
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


def _cameras(alert: str, routes: Routes) -> list[str]:
    return [camera for camera, names in routes.items() if alert in names]


def _check(alerts: Collection[str], routes: Routes) -> None:
    for camera, names in routes.items():
        for name in names:
            if name not in alerts:
                near = difflib.get_close_matches(name, alerts, n=1, cutoff=0.0)
                hint = f"did you mean {near[0]!r}?" if near else "there are none"
                raise UserError(f"camera {camera}: there is no alert {name!r}: {hint}")
