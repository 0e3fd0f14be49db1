"""Messages to an MQTT broker, and the state of each camera there."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Collection, Iterable
from contextlib import suppress
from time import monotonic

from msflow_stream.config.alerts import MqttSettings
from msflow_stream.events.alerts.sinks.base import AlertMessage, AlertSink, Retry, SinkContext, tls_context
from msflow_stream.events.alerts.sinks.mqtt_topics import OFF, OFFLINE, ON, ONLINE, MqttMessage, Topics

try:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode
except ImportError:
    raise ImportError("paho-mqtt is not installed: pip install 'msflow-stream[mqtt]'") from None

PORT, TLS_PORT = 1883, 8883
KEEP_ALIVE = 30  # seconds; a broker that is silent for longer is asked, and left if it stays silent
RECONNECT = 1, 30  # seconds; the waits between attempts to connect double from the first to the second
PATIENCE = 3.0  # seconds that a message waits for a connection, before it waits for its next turn
CHECK_EVERY = 0.1  # seconds between checks whether a connection still stands
GRACE = 1.0  # seconds that a broker gets to take our leave
QOS = 1  # at least once


class Mqtt(AlertSink):
    """A broker that gets each message on PREFIX/CAMERA/event; PREFIX/CAMERA/state is ON while an event lasts.

    State, attributes and announcements are retained, and published anew on every connection: a broker may have
    forgotten them. PREFIX/status is online, and by the broker's last will offline when this program is gone;
    where several nodes publish it stays online, as the end of one is not the end of all.
    paho-mqtt connects again by itself and repeats what was not confirmed; receivers know repetitions by id and version.
    """

    _settings: MqttSettings

    def __init__(self, settings: MqttSettings, context: SinkContext) -> None:
        """Connects, in a thread of paho's.

        Raises:
            UserError: the certificates cannot be read.
        """
        super().__init__(settings, context)
        self._topics = Topics(settings.prefix, settings.discovery)
        self._lock = threading.Lock()
        self._states = dict.fromkeys(context.cameras, OFF)
        self._open: dict[str, str] = {}  # the event that lasts, by camera
        self._attributes: dict[str, MqttMessage] = {}
        self._greeted, self._ended = threading.Event(), threading.Event()
        self._greeting: int | None = None  # paho's number of the first message of the connection
        self._reason, self._refused, self._closing = "not connected yet", False, False
        self._client = self._new_client()
        self._client.connect_async(
            settings.host, settings.port or (TLS_PORT if settings.tls else PORT), keepalive=KEEP_ALIVE
        )
        self._client.loop_start()

    def announce(self, cameras: Collection[str]) -> None:
        """Publishes the state of new cameras, and how they are found."""
        with self._lock:
            new = [camera for camera in cameras if camera not in self._states]
            self._states |= dict.fromkeys(new, OFF)
        self.publish_if_connected(one for camera in new for one in self._retained(camera, OFF))

    def write(self, message: AlertMessage) -> None:
        """Publishes the message, its attributes and the state that it leads to."""
        camera = message.event.source
        event, attributes = self._topics.event(message), self._topics.attributes(message)
        self.announce([camera])
        with self._lock:
            self._follow(message)
            self._attributes[camera] = attributes
            state = self._topics.state(camera, self._states[camera])
        self.publish([event, attributes, state])

    def try_out(self, message: AlertMessage) -> None:
        """Publishes the message alone: nobody is to find a camera that there is not."""
        self.publish([self._topics.event(message)])

    def publish(self, messages: Iterable[MqttMessage]) -> None:
        """Returns when the broker has all of it, in this order.

        Raises:
            Retry: it has not, or it is not known whether it has.
        """
        if not self._greeted.wait(PATIENCE):
            raise Retry(f"no MQTT connection: {self._reason}", slow=self._refused)
        end, left = monotonic() + self._settings.timeout, [self._send(message) for message in messages]
        with suppress(RuntimeError, ValueError):  # the connection was lost while a message was sent
            while (left := [one for one in left if not one.is_published()]) and self._greeted.is_set():
                if monotonic() >= end:
                    self._cut()
                left[0].wait_for_publish(CHECK_EVERY)
        if left:
            raise Retry("the MQTT broker did not confirm a message")

    def publish_if_connected(self, messages: Iterable[MqttMessage]) -> None:
        """Publishes this if there is a connection, and does not wait."""
        if self._client.is_connected():
            for message in messages:
                self._send(message)

    def close(self) -> None:
        """Publishes that the program is offline, and ends the connection."""
        self._closing = True
        connected = self._client.is_connected()
        if self._greeted.is_set() and not self._context.node:
            with suppress(Retry):
                self.publish([self._topics.status(OFFLINE)])
        self._ended.clear()
        self._client.disconnect()  # which also ends paho's thread, once it wakes up
        if connected and not self._ended.wait(GRACE):
            self._cut()

    def _follow(self, message: AlertMessage) -> None:
        """Notes the state of the camera; the end of an event that is not the last one begun changes nothing."""
        event, camera = message.event, message.event.source
        if message.kind != "close":
            self._open[camera], self._states[camera] = event.id, ON
        elif self._open.get(camera, event.id) == event.id:
            self._open.pop(camera, None)
            self._states[camera] = OFF

    def _retained(self, camera: str, state: str) -> list[MqttMessage]:
        return [*self._topics.discovered(camera), self._topics.state(camera, state)]

    def _send(self, message: MqttMessage) -> paho.MQTTMessageInfo:
        return self._client.publish(message.topic, message.text, qos=QOS, retain=message.retain)

    def _new_client(self) -> paho.Client:
        settings = self._settings
        # One name for all connections: the broker ends the old one, with its last will, before it takes the new one.
        name = "-".join(filter(None, (settings.prefix.replace("/", "-"), self._context.node)))
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name)
        client.connect_timeout = settings.timeout
        client.reconnect_delay_set(*RECONNECT)
        if not self._context.node:
            client.will_set(self._topics.status_topic, OFFLINE, qos=QOS, retain=True)
        if settings.username is not None:
            password = settings.password.get_secret_value() if settings.password else None
            client.username_pw_set(settings.username, password)
        if settings.tls:
            client.tls_set_context(tls_context(settings.ca))
        client.on_connect, client.on_connect_fail = self._on_connect, self._on_connect_fail
        client.on_publish, client.on_disconnect = self._on_publish, self._on_disconnect
        return client

    def _on_connect(self, client: paho.Client, data: object, flags: object, reason: ReasonCode, _: object) -> None:
        self._refused = reason.is_failure
        if reason.is_failure:
            self._reason = str(reason)
            client.reconnect_delay_set(RECONNECT[1], RECONNECT[1])  # a wrong password gets accounts locked
        elif self._closing:  # while it was connecting
            client.disconnect()
        else:
            self._reason = "the broker confirms nothing"
            client.reconnect_delay_set(*RECONNECT)
            with self._lock:
                retained = [one for camera, state in self._states.items() for one in self._retained(camera, state)]
                retained += self._attributes.values()
            self._greeting = self._send(self._topics.status(ONLINE)).mid
            for message in retained:
                self._send(message)

    def _on_publish(
        self, client: paho.Client, data: object, number: int, reason: ReasonCode, properties: Properties
    ) -> None:
        # Behind the greeting paho repeats what the last connection left unconfirmed, which can be an older state. Only
        # then is the greeting's confirmation read: whatever is published from now on comes after all of that.
        if number == self._greeting:
            self._greeted.set()

    def _on_disconnect(self, client: paho.Client, data: object, flags: object, reason: ReasonCode, _: object) -> None:
        if self._greeted.is_set():
            self._reason = str(reason)
        self._greeting = None
        self._greeted.clear()
        self._ended.set()

    def _on_connect_fail(self, client: paho.Client, data: object) -> None:
        error = sys.exception()  # which paho does not pass on
        self._reason, self._refused = f"{type(error).__name__}: {error}", False

    def _cut(self) -> None:
        """Ends a connection of no use as a broken cable would; paho notices and makes the next one."""
        self._greeted.clear()
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
