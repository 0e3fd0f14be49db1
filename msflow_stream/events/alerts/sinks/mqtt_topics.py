"""The topics of MQTT and what each holds: a camera's state and events, and how Home Assistant finds it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from msflow_stream.events.alerts.sinks.base import AlertMessage

ON, OFF = "ON", "OFF"
ONLINE, OFFLINE = "online", "offline"


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """A text for a topic; the broker also sends what it is to `retain` to those who subscribe later."""

    topic: str
    text: str
    retain: bool


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics below a prefix: PREFIX/status, PREFIX/CAMERA/state, .../attributes and .../event."""

    prefix: str
    discovery: str | None

    def status(self, status: str) -> MqttMessage:
        """Returns the message that the program is online or offline."""
        return MqttMessage(self.status_topic, status, retain=True)

    @property
    def status_topic(self) -> str:
        """The topic that says whether the program is online."""
        return f"{self.prefix}/status"

    def state(self, camera: str, state: str) -> MqttMessage:
        """Returns the message that an event lasts or does not."""
        return MqttMessage(f"{self._camera(camera)}/state", state, retain=True)

    def event(self, message: AlertMessage) -> MqttMessage:
        """Returns the message itself, which is not retained."""
        return MqttMessage(f"{self._camera(message.event.source)}/event", message.text, retain=False)

    def attributes(self, message: AlertMessage) -> MqttMessage:
        """Returns the event without its tracks, which are long, to be retained beside the state."""
        values = {name: value for name, value in message.values["event"].items() if name != "tracks"}
        return MqttMessage(f"{self._camera(message.event.source)}/attributes", json.dumps(values), retain=True)

    def discovered(self, camera: str) -> list[MqttMessage]:
        """Returns the message by which Home Assistant finds a camera, if that is wanted."""
        if self.discovery is None:
            return []
        node, name, topic = _identifier(self.prefix), _identifier(camera), self._camera(camera)
        config = {
            "name": "Violation",
            "unique_id": f"{node}_{name}",
            "device_class": "problem",
            "state_topic": f"{topic}/state",
            "payload_on": ON,
            "payload_off": OFF,
            "json_attributes_topic": f"{topic}/attributes",
            "availability_topic": self.status_topic,
            "payload_available": ONLINE,
            "payload_not_available": OFFLINE,
            "qos": 1,
            "device": {"identifiers": [f"{node}_{name}"], "name": camera, "manufacturer": "msflow-stream"},
            "origin": {"name": "msflow-stream"},
        }
        return [MqttMessage(f"{self.discovery}/binary_sensor/{node}/{name}/config", json.dumps(config), retain=True)]

    def _camera(self, camera: str) -> str:
        return f"{self.prefix}/{re.sub(r'[/+#$]|[^ -~]', '-', camera)}"


def _identifier(name: str) -> str:
    """Returns a name of letters, digits, _ and -, another one for each name."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return plain if plain == name else f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
