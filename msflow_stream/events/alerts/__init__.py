"""Alerts: who is told of events, at least once and in order, without ever holding up a camera."""

from msflow_stream.events.alerts.delivery import AlertReport, Courier
from msflow_stream.events.alerts.dispatcher import AlertHub, Routes
from msflow_stream.events.alerts.queue import Outbox
from msflow_stream.events.alerts.sinks.base import Delivery, GiveUp, Retry, Sink, retrying

__all__ = ["AlertHub", "AlertReport", "Courier", "Delivery", "GiveUp", "Outbox", "Retry", "Routes", "Sink", "retrying"]
