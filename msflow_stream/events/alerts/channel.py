"""The channels to receivers: each has a queue, a thread that delivers, and for an alert its filters and its sink."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from pkgutil import resolve_name
from random import Random

from msflow_stream.config.alerts import Alert
from msflow_stream.config.cameras import Backoff
from msflow_stream.events.alerts.delivery import AlertReport, DeliveryWorker
from msflow_stream.events.alerts.filters import AlertFilter, local_now
from msflow_stream.events.alerts.queue import DeliveryQueue
from msflow_stream.events.alerts.sinks.base import AlertSink, Delivery, SinkContext, Snapshot
from msflow_stream.logs import Redactor
from msflow_stream.types import EventMessage, UserError


@dataclass(frozen=True, slots=True)
class ChannelContext:
    """The surroundings that all channels of a program share.

    Attributes:
        folder: the folder of the queues.
        random: draws the jitter of the waits after failures.
        backoff: the waits after failures; None: the usual ones.
        snapshot: gives the path of an event's snapshot, for mails.
        clock: local time, for filters by time.
    """

    folder: Path
    random: Random
    backoff: Backoff | None = None
    snapshot: Snapshot | None = None
    clock: Callable[[], datetime] = local_now


class AlertChannel:
    """The channel of one alert: queues the messages that it is for. To be closed."""

    def __init__(self, name: str, alert: Alert, cameras: Collection[str], shared: ChannelContext) -> None:
        """Starts to deliver what an earlier run left.

        Args:
            name: the alert's name.
            alert: its settings.
            cameras: the cameras whose events go to this alert.
            shared: the surroundings of all channels.

        Raises:
            UserError: the sink cannot begin.
        """
        self.name, self._alert = name, alert
        self._filter = AlertFilter(alert, shared.clock)
        redactor = Redactor(any_url=True)
        redactor.add_addresses(alert.secrets())
        self._sink = make_sink(alert, SinkContext(self._wanted(cameras), redactor, shared.snapshot))
        self._queue = DeliveryQueue(shared.folder, name, alert.queue)
        self._worker = DeliveryWorker(
            self._queue,
            self._sink.write,
            random=Random(shared.random.getrandbits(64)),  # the generator of another thread is not to be used
            close=self._sink.close,
            backoff=shared.backoff,
            attempts=self._sink.attempts,
            give_up_after=alert.give_up_after,
            redactor=redactor,
        )

    def write(self, message: EventMessage, camera: str, routed: bool) -> None:
        """Queues the message if it is for this alert.

        Args:
            message: the message.
            camera: the camera that it is about.
            routed: whether the camera's events go here; the end of an event that was begun here does in any case.
        """
        event = message.event.id
        followed = self._queue.follows(event)
        if not (followed or routed):
            return
        chosen = self._filter(message, camera, followed)
        if chosen is not None:
            self._worker.add(chosen)
        elif message.kind == "close" and followed:
            self._queue.forget(event)

    def announce(self, cameras: Collection[str]) -> None:
        """Names the cameras whose events go here from now on."""
        self._sink.announce(self._wanted(cameras))

    def report(self) -> AlertReport:
        """Returns the figures since the start."""
        return self._worker.report()

    def ask_to_close(self) -> None:
        """Asks for an end, and returns at once."""
        self._worker.ask_to_close()

    def close(self, timeout: float) -> None:
        """Delivers what can be delivered within so many seconds."""
        self._worker.close(timeout)

    def _wanted(self, cameras: Collection[str]) -> list[str]:
        return [camera for camera in cameras if not self._alert.cameras or camera in self._alert.cameras]


def make_sink(alert: Alert, context: SinkContext) -> AlertSink:
    """Returns the sink that an alert's settings name.

    Raises:
        UserError: it needs a package that is not installed, or cannot begin.
    """
    try:
        make: Callable[[Alert, SinkContext], AlertSink] = resolve_name(alert.sink)
    except (ImportError, AttributeError) as error:
        raise UserError(f"its sink cannot be loaded: {error}") from None
    return make(alert, context)


class StoreChannel:
    """The channel of a delivery that no person set up, such as the store's: queues every message of every camera."""

    def __init__(self, name: str, write: Delivery, shared: ChannelContext) -> None:
        """Starts to deliver what an earlier run left."""
        self.name = name
        random = Random(shared.random.getrandbits(64))
        self._worker = DeliveryWorker(DeliveryQueue(shared.folder, name), write, random=random, backoff=shared.backoff)

    def write(self, message: EventMessage, camera: str, routed: bool) -> None:
        """Queues the message, wherever its camera's events go."""
        self._worker.add(message)

    def announce(self, cameras: Collection[str]) -> None:
        """Takes all cameras in any case."""
        return

    def report(self) -> AlertReport:
        """Returns the figures since the start."""
        return self._worker.report()

    def ask_to_close(self) -> None:
        """Asks for an end, and returns at once."""
        self._worker.ask_to_close()

    def close(self, timeout: float) -> None:
        """Delivers what can be delivered within so many seconds."""
        self._worker.close(timeout)
