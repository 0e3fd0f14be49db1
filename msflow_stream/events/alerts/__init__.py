"""Alerts: event messages go to their receivers at least once and in order, without ever holding up a camera."""

from msflow_stream.events.alerts.delivery import AlertReport, DeliveryWorker
from msflow_stream.events.alerts.dispatcher import AlertDispatcher, Routes
from msflow_stream.events.alerts.queue import DeliveryQueue
from msflow_stream.events.alerts.sinks.base import (
    AlertMessage,
    AlertSink,
    Delivery,
    GiveUp,
    Retry,
    SinkContext,
    retrying,
)

__all__ = [
    "AlertDispatcher",
    "AlertMessage",
    "AlertReport",
    "AlertSink",
    "Delivery",
    "DeliveryQueue",
    "DeliveryWorker",
    "GiveUp",
    "Retry",
    "Routes",
    "SinkContext",
    "retrying",
]
