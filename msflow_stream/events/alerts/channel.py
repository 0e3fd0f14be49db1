"""One alert: its filters, its queue, its thread and its sink."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import assert_never

from msflow_stream.config.alerts import (
    Alert,
    CommandSettings,
    EmailSettings,
    JsonLinesSettings,
    MqttSettings,
    WebhookSettings,
)
from msflow_stream.config.cameras import Backoff
from msflow_stream.events.alerts.delivery import AlertReport, DeliveryWorker
from msflow_stream.events.alerts.filters import AlertFilter, local_now
from msflow_stream.events.alerts.queue import DeliveryQueue
from msflow_stream.events.alerts.sinks.base import AlertSink, Delivery
from msflow_stream.events.alerts.sinks.command import Command
from msflow_stream.events.alerts.sinks.email import Mail, Snapshot
from msflow_stream.events.alerts.sinks.jsonl import JsonLines
from msflow_stream.logs import Redactor
from msflow_stream.types import EventMessage


def make_sink(
    alert: Alert,
    cameras: Collection[str],
    random: Random,
    hide: Redactor,
    snapshot: Snapshot | None = None,
    backoff: Backoff | None = None,
) -> AlertSink:
    """The sink that settings describe.

    Args:
        cameras: that there will be messages of.
        random, backoff: for the waits between connections.
        hide: takes secrets out of a text.
        snapshot: where an event's picture is.

    Raises:
        UserError: certificates cannot be read.
    """
    match alert:
        case JsonLinesSettings():
            return JsonLines(alert)
        case WebhookSettings():
            from msflow_stream.events.alerts.sinks.webhook import Webhook

            return Webhook(alert)
        case MqttSettings():
            from msflow_stream.events.alerts.sinks.mqtt import Mqtt

            return Mqtt(alert, cameras, random, backoff)
        case EmailSettings():
            return Mail(alert, hide, snapshot)
        case CommandSettings():
            return Command(alert, hide)
    assert_never(alert)


@dataclass(frozen=True, slots=True)
class ChannelContext:
    """What all alerts of a program share.

    Attributes:
        folder: of the queues.
        random, backoff: for the waits after failures.
        snapshot: where the picture of an event is, for mails.
        clock: local time, for filters by time.
    """

    folder: Path
    random: Random
    backoff: Backoff | None = None
    snapshot: Snapshot | None = None
    clock: Callable[[], datetime] = local_now


class AlertChannel:
    """Takes the messages that an alert is for. To be closed."""

    def __init__(self, name: str, alert: Alert, cameras: Collection[str], shared: ChannelContext) -> None:
        """Starts to deliver what an earlier run left.

        Args:
            cameras: whose events go to this alert.

        Raises:
            UserError: the sink cannot begin.
        """
        self.name, self._alert = name, alert
        self._choice = AlertFilter(alert, shared.clock)
        hide = Redactor(any_url=True)
        hide.add_addresses(alert.secrets())
        own = Random(shared.random.getrandbits(64))  # the generator of another thread is not to be used
        self._sink = make_sink(alert, self._wanted(cameras), own, hide, shared.snapshot, shared.backoff)
        self._outbox = DeliveryQueue(shared.folder, name, alert.queue)
        self._courier = DeliveryWorker(
            self._outbox,
            self._sink.deliver,
            random=Random(shared.random.getrandbits(64)),
            end=self._sink.close,
            backoff=shared.backoff,
            attempts=alert.attempts if isinstance(alert, CommandSettings) else None,
            give_up_after=alert.give_up_after,
            hide=hide,
        )

    def offer(self, message: EventMessage, camera: str, routed: bool) -> None:
        """Puts the message in the queue if it is for this alert.

        Args:
            routed: whether the camera's events go here; the end of an event that was begun here does in any case.
        """
        event = message.event.id
        followed = self._outbox.follows(event)
        if not (followed or routed):
            return
        chosen = self._choice(message, camera, followed)
        if chosen is not None:
            self._courier.put(chosen)
        elif message.kind == "close" and followed:
            self._outbox.forget(event)

    def announce(self, cameras: Collection[str]) -> None:
        """These are the cameras whose events go here from now on."""
        self._sink.announce(self._wanted(cameras))

    def report(self) -> AlertReport:
        return self._courier.report()

    def ask_to_close(self) -> None:
        self._courier.ask_to_close()

    def close(self, timeout: float) -> None:
        self._courier.close(timeout)

    def _wanted(self, cameras: Collection[str]) -> list[str]:
        return [camera for camera in cameras if not self._alert.cameras or camera in self._alert.cameras]


class StoreChannel:
    """Takes every message of every camera, for a delivery that is not set up by a person, such as the store's."""

    def __init__(self, name: str, deliver: Delivery, shared: ChannelContext) -> None:
        self.name = name
        random = Random(shared.random.getrandbits(64))
        self._courier = DeliveryWorker(
            DeliveryQueue(shared.folder, name), deliver, random=random, backoff=shared.backoff
        )

    def offer(self, message: EventMessage, camera: str, routed: bool) -> None:
        self._courier.put(message)

    def announce(self, cameras: Collection[str]) -> None:
        return None

    def report(self) -> AlertReport:
        return self._courier.report()

    def ask_to_close(self) -> None:
        self._courier.ask_to_close()

    def close(self, timeout: float) -> None:
        self._courier.close(timeout)
