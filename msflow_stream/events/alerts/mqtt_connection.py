"""Keeps a connection to an MQTT broker, and says online and offline there."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from random import Random
from time import monotonic

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from msflow_stream.config.alerts import MqttSettings
from msflow_stream.config.cameras import Backoff
from msflow_stream.events.alerts.sinks.base import Retry, tls_context
from msflow_stream.events.alerts.sinks.mqtt_topics import OFFLINE, ONLINE, MqttMessage, Topics

logger = logging.getLogger(__name__)

PORT, TLS_PORT = 1883, 8883
KEEP_ALIVE = 30  # seconds; a broker that is silent for one and a half as long is away
LOOK_AGAIN = 0.1  # seconds between looks whether a connection still stands
PATIENCE = 3.0  # seconds that a message waits for a connection, before it waits for its next turn
GRACE = 1.0  # seconds that a broker gets to take our leave
QOS = 1  # at least once


class MqttConnection:
    """Connects again and again, in a thread of its own, from the start until it is closed.

    Every connection has a client of its own, so that nothing of an old one is sent when its time is over.
    """

    def __init__(
        self,
        settings: MqttSettings,
        topics: Topics,
        greeting: Callable[[], Iterable[MqttMessage]],
        random: Random,
        backoff: Backoff | None = None,
    ) -> None:
        """Starts the thread.

        Args:
            greeting: what is said first on each connection, after that we are online.
            random: for the jitter of the waits.

        Raises:
            UserError: the certificates cannot be read.
        """
        self._settings, self._topics, self._greeting = settings, topics, greeting
        self._random, self._backoff = random, backoff or Backoff(ceiling=30.0)
        self._context = tls_context(settings.ca) if settings.tls else None
        self._changed = threading.Condition()
        self._client: paho.Client | None = None  # while connected
        self._latest: paho.Client | None = None
        self._closing, self._over = threading.Event(), threading.Event()
        self._reason, self._refused, self._failures = "not connected yet", False, 0
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def say(self, notes: Iterable[MqttMessage]) -> None:
        """Returns when the broker has all of it, in this order.

        Raises:
            Retry: it has not, or it is not known whether it has.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._client is not None, PATIENCE)
            client = self._client
        if client is None:
            raise Retry(f"no MQTT connection: {self._reason}", patient=self._refused)
        end = monotonic() + self._settings.timeout
        sent = [_publish(client, note) for note in notes]
        for one in sent:
            while not _arrived(one):
                if not client.is_connected() or monotonic() >= end:
                    self._drop(client)
                    raise Retry("the MQTT broker did not confirm a message")

    def mention(self, notes: Iterable[MqttMessage]) -> None:
        """Says this if there is a connection, and does not wait."""
        with self._changed:
            client = self._client
        if client is not None:
            for note in notes:
                _publish(client, note)

    def close(self) -> None:
        """Says that we are offline and ends the connection."""
        self._closing.set()
        with self._changed:
            connected = self._client is not None
        if connected:
            with suppress(Retry):
                self.say([MqttMessage(self._topics.status, OFFLINE, retain=True)])
        if self._latest is not None:
            self._latest.disconnect()
            self._thread.join(GRACE)
            _cut(self._latest)
        self._thread.join(GRACE)

    def _run(self) -> None:
        """The thread."""
        while not self._closing.is_set():
            client = self._latest = self._new_client()
            self._over.clear()
            try:
                client.connect(self._settings.host, self._port, keepalive=KEEP_ALIVE)
            except (OSError, ValueError) as error:  # ValueError: a name that cannot be one
                self._reason, self._refused = f"{type(error).__name__}: {error}", False
            else:
                client.loop_start()
                self._over.wait()
                client.loop_stop()
            self._failures += 1
            self._closing.wait(self._backoff.delay(self._failures, self._random, slow=self._refused))

    @property
    def _port(self) -> int:
        return self._settings.port or (TLS_PORT if self._settings.tls else PORT)

    def _new_client(self) -> paho.Client:
        wanted = self._settings
        # One name for all connections: the broker ends the old one, with its last will, before it takes the new one.
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=wanted.prefix.replace("/", "-"), reconnect_on_failure=False
        )
        client.connect_timeout = wanted.timeout
        client.will_set(self._topics.status, OFFLINE, qos=QOS, retain=True)
        if wanted.username is not None:
            client.username_pw_set(wanted.username, wanted.password.get_secret_value() if wanted.password else None)
        if self._context is not None:
            client.tls_set_context(self._context)
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        return client

    def _connected(
        self, client: paho.Client, data: object, flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._refused = reason.is_failure
        if reason.is_failure:
            self._reason = str(reason)
            return
        if self._closing.is_set():  # while it was connecting
            client.disconnect()
            return
        for note in [MqttMessage(self._topics.status, ONLINE, retain=True), *self._greeting()]:
            _publish(client, note)
        with self._changed:
            self._client, self._failures = client, 0
            self._changed.notify_all()

    def _disconnected(
        self, client: paho.Client, data: object, flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        with self._changed:
            if self._client is client:
                self._client, self._reason = None, str(reason)
        self._over.set()

    def _drop(self, client: paho.Client) -> None:
        """Ends a connection that is of no use any more; the next one is made."""
        with self._changed:
            if self._client is client:
                self._client = None
                _cut(client)
                self._over.set()


def _publish(client: paho.Client, note: MqttMessage) -> paho.MQTTMessageInfo:
    return client.publish(note.topic, note.text, qos=QOS, retain=note.retain)


def _arrived(sent: paho.MQTTMessageInfo) -> bool:
    """Waits a moment for the broker's confirmation."""
    try:
        sent.wait_for_publish(LOOK_AGAIN)
        return sent.is_published()
    except (RuntimeError, ValueError):  # the connection was lost while it was sent
        return False


def _cut(client: paho.Client) -> None:
    """Ends a connection as a broken cable would; the client's thread notices."""
    connection = client.socket()
    if isinstance(connection, socket.socket):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
