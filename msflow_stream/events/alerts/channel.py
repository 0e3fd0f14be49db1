"""The channels to receivers: each has a queue, a thread that delivers, and for an alert its filters and its sink."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from pkgutil import resolve_name
from random import Random

from msflow_stream.config.alerts import Alert, AlertSettings
from msflow_stream.config.cameras import Backoff
from msflow_stream.events.alerts.delivery import AlertReport, DeliveryWorker
from msflow_stream.events.alerts.queue import DeliveryQueue
from msflow_stream.events.alerts.sinks.base import AlertMessage, AlertSink, Delivery, SinkContext, Snapshot
from msflow_stream.logs import Redactor
from msflow_stream.types import SEVERITIES, Event, EventMessage, UserError


def local_now() -> datetime:
    """Returns the time by the clock of the machine."""
    return datetime.now().astimezone()


class AlertFilter:
    """The filters of one alert. A receiver that got an event's beginning gets its end too.

    An event that the filters let through only later (it becomes severe, or the quiet hours are over) begins then.
    """

    def __init__(self, settings: AlertSettings, clock: Callable[[], datetime] = local_now) -> None:
        """Filters by these settings, and by a clock of local time."""
        self._settings, self._clock = settings, clock
        self._last: dict[str, tuple[str, datetime]] = {}  # the event of each camera that was begun last, and when

    def __call__(self, message: EventMessage, camera: str, followed: bool) -> EventMessage | None:
        """Returns the message as the receiver is to get it, None if it is not to.

        Args:
            message: the message.
            camera: the camera that it is about.
            followed: whether the receiver got the event's beginning.
        """
        kinds = self._settings.kinds
        if followed:
            return message if message.kind in kinds else None
        if "open" in kinds and not (message.kind == "close" and "close" in kinds):
            message = replace(message, kind="open")
        if message.kind not in kinds or not self._lets_through(message.event, camera):
            return None
        if self._last.get(camera, ("",))[0] != message.event.id:
            self._last[camera] = message.event.id, self._clock()
        return message

    def _lets_through(self, event: Event, camera: str) -> bool:
        settings, now = self._settings, self._clock()
        return (
            SEVERITIES.index(event.severity) >= SEVERITIES.index(settings.severity)
            and (not settings.cameras or camera in settings.cameras)
            and (not settings.triggers or not set(settings.triggers).isdisjoint(event.triggers))
            and not any(span.covers(now.time()) for span in settings.quiet)
            and (settings.duration is None or (event.end is not None and event.end - event.start >= settings.duration))
            and not self._cools_down(event, camera, now)
        )

    def _cools_down(self, event: Event, camera: str, now: datetime) -> bool:
        """Returns whether another event of the camera was begun a short while ago."""
        if self._settings.cooldown is None or camera not in self._last:
            return False
        begun, when = self._last[camera]
        return begun != event.id and (now - when).total_seconds() < self._settings.cooldown


@dataclass(frozen=True, slots=True)
class ChannelContext:
    """The surroundings that all channels of a program share.

    Attributes:
        folder: the folder of the queues.
        random: draws the jitter of the waits after failures.
        backoff: the waits after failures; None: the usual ones.
        snapshot: gives the path of an event's snapshot, for mails.
        clock: local time, for filters by time.
        node: as of `SinkContext`.
    """

    folder: Path
    random: Random
    backoff: Backoff | None = None
    snapshot: Snapshot | None = None
    clock: Callable[[], datetime] = local_now
    node: str = ""


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
        self._sink = make_sink(alert, SinkContext(self._wanted(cameras), redactor, shared.snapshot, shared.node))
        self._queue = DeliveryQueue(shared.folder, name, alert.queue)
        self._worker = DeliveryWorker(
            self._queue,
            self._sink.write,
            random=Random(shared.random.getrandbits(64)),  # the generator of another thread is not to be used
            try_out=self._sink.try_out,
            close=self._sink.close,
            backoff=shared.backoff,
            attempts=self._sink.attempts,
            give_up_after=alert.give_up_after,
            redactor=redactor,
            sink=alert.sink.partition(":")[0].rpartition(".")[2],
        )

    def write(self, message: EventMessage, camera: str, routed: bool) -> None:
        """Queues the message if it is for this alert.

        Args:
            message: the message.
            camera: the camera that it is about.
            routed: whether the camera's events go here; the end of an event that was begun here does in any case.
        """
        message, event = replace(message, lease=None), message.event.id  # which is for the store alone
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

    def test(self, message: AlertMessage, timeout: float) -> None:
        """Delivers a message about an event that is a test, whatever the filters and the messages that wait.

        Raises:
            UserError: it failed, without secrets, or took longer than so many seconds.
        """
        self._worker.test(message, timeout)

    def retry_dead(self) -> int:
        """Queues the dead letters again, and returns their number.

        Raises:
            UserError: they cannot be queued.
        """
        return self._worker.retry_dead()

    def adopt(self, folder: Path, name: str) -> bool:
        """Takes over what another channel of this name left in a folder, as `DeliveryQueue.adopt`."""
        return self._worker.adopt(folder, name)

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
        queue = DeliveryQueue(shared.folder, name)
        self._worker = DeliveryWorker(queue, write, random=random, backoff=shared.backoff, sink=name)

    def write(self, message: EventMessage, camera: str, routed: bool) -> None:
        """Queues the message, wherever its camera's events go."""
        self._worker.add(message)

    def announce(self, cameras: Collection[str]) -> None:
        """Takes all cameras in any case."""
        return

    def report(self) -> AlertReport:
        """Returns the figures since the start."""
        return self._worker.report()

    def retry_dead(self) -> int:
        """Queues the dead letters again, and returns their number.

        Raises:
            UserError: they cannot be queued.
        """
        return self._worker.retry_dead()

    def adopt(self, folder: Path, name: str) -> bool:
        """Takes over what another channel of this name left in a folder, as `DeliveryQueue.adopt`."""
        return self._worker.adopt(folder, name)

    def ask_to_close(self) -> None:
        """Asks for an end, and returns at once."""
        self._worker.ask_to_close()

    def close(self, timeout: float) -> None:
        """Delivers what can be delivered within so many seconds."""
        self._worker.close(timeout)
