"""From the settings of an alert to what delivers it; the library it needs is loaded only then."""

from __future__ import annotations

from collections.abc import Collection
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
from msflow_stream.events.alerts.hiding import Hide
from msflow_stream.events.alerts.sinks.base import Sink
from msflow_stream.events.alerts.sinks.command import Command
from msflow_stream.events.alerts.sinks.email import Mail, Snapshot
from msflow_stream.events.alerts.sinks.jsonl import JsonLines
from msflow_stream.video.backoff import Backoff


def make_sink(
    alert: Alert,
    cameras: Collection[str],
    random: Random,
    hide: Hide,
    snapshot: Snapshot | None = None,
    backoff: Backoff | None = None,
) -> Sink:
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
