"""Messages to an MQTT broker, and the state of each camera there."""

from __future__ import annotations

import threading
from collections.abc import Collection
from random import Random

from msflow_stream.config.alerts import MqttSettings
from msflow_stream.config.cameras import Backoff
from msflow_stream.events.alerts.mqtt_connection import MqttConnection
from msflow_stream.events.alerts.sinks.base import AlertSink
from msflow_stream.events.alerts.sinks.mqtt_topics import OFF, ON, MqttMessage, Topics
from msflow_stream.types import EventMessage


class Mqtt(AlertSink):
    """Says each message on PREFIX/CAMERA/event, and keeps PREFIX/CAMERA/state at ON while an event lasts.

    State, attributes and announcements are retained, and said anew on every connection: a broker may have forgotten
    them. PREFIX/status is online, and by the broker's last will offline when this program is gone.
    """

    def __init__(
        self, settings: MqttSettings, cameras: Collection[str], random: Random, backoff: Backoff | None = None
    ) -> None:
        """Connects, in the background.

        Raises:
            UserError: the certificates cannot be read.
        """
        self._topics = Topics(settings.prefix, settings.discovery)
        self._lock = threading.Lock()
        self._states = dict.fromkeys(cameras, OFF)
        self._open: dict[str, str] = {}  # the event that lasts, by camera
        self._attributes: dict[str, MqttMessage] = {}
        self._connection = MqttConnection(settings, self._topics, self._greeting, random, backoff)

    def announce(self, cameras: Collection[str]) -> None:
        with self._lock:
            new = [camera for camera in cameras if camera not in self._states]
            self._states |= dict.fromkeys(new, OFF)
        self._connection.mention(note for camera in new for note in self._standing(camera, OFF))

    def deliver(self, message: EventMessage) -> None:
        camera, (event, attributes) = message.event.source, self._topics.event(message)
        self.announce([camera])
        with self._lock:
            self._follow(message)
            self._attributes[camera] = attributes
            state = self._topics.state(camera, self._states[camera])
        self._connection.say([event, attributes, state])

    def close(self) -> None:
        self._connection.close()

    def _follow(self, message: EventMessage) -> None:
        """Notes the state of the camera; the end of an event that is not the last one begun changes nothing."""
        event, camera = message.event, message.event.source
        if message.kind != "close":
            self._open[camera], self._states[camera] = event.id, ON
        elif self._open.get(camera, event.id) == event.id:
            self._open.pop(camera, None)
            self._states[camera] = OFF

    def _greeting(self) -> list[MqttMessage]:
        """What holds at the moment."""
        with self._lock:
            standing = [note for camera, state in self._states.items() for note in self._standing(camera, state)]
            return [*standing, *self._attributes.values()]

    def _standing(self, camera: str, state: str) -> list[MqttMessage]:
        return [*self._topics.found(camera), self._topics.state(camera, state)]
