"""What is said on which MQTT topic: the state of a camera, its events, and how Home Assistant finds it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from msflow_stream.events.alerts.sinks.base import encode
from msflow_stream.events.serialization import to_json
from msflow_stream.types import EventMessage

ON, OFF = "ON", "OFF"
ONLINE, OFFLINE = "online", "offline"


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """Something to say on a topic; `retain` has the broker tell it to who asks later."""

    topic: str
    text: str
    retain: bool


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics below a prefix: PREFIX/status, PREFIX/CAMERA/state, .../attributes and .../event."""

    prefix: str
    discovery: str | None

    @property
    def status(self) -> str:
        return f"{self.prefix}/status"

    def state(self, camera: str, state: str) -> MqttMessage:
        return MqttMessage(f"{self._of(camera)}/state", state, retain=True)

    def event(self, message: EventMessage) -> list[MqttMessage]:
        """An event itself, and what is kept of it beside the state."""
        values: dict[str, Any] = to_json(message)["event"]
        values.pop("tracks")  # which are long; the whole event is there to be had
        camera = self._of(message.event.source)
        return [
            MqttMessage(f"{camera}/event", encode(message), retain=False),
            MqttMessage(f"{camera}/attributes", json.dumps(values), retain=True),
        ]

    def found(self, camera: str) -> list[MqttMessage]:
        """The message by which Home Assistant finds a camera, if that is wanted."""
        if self.discovery is None:
            return []
        node, name, topic = _identifier(self.prefix), _identifier(camera), self._of(camera)
        config = {
            "name": "Violation",
            "unique_id": f"{node}_{name}",
            "device_class": "problem",
            "state_topic": f"{topic}/state",
            "payload_on": ON,
            "payload_off": OFF,
            "json_attributes_topic": f"{topic}/attributes",
            "availability_topic": self.status,
            "payload_available": ONLINE,
            "payload_not_available": OFFLINE,
            "qos": 1,
            "device": {"identifiers": [f"{node}_{name}"], "name": camera, "manufacturer": "msflow-stream"},
            "origin": {"name": "msflow-stream"},
        }
        return [MqttMessage(f"{self.discovery}/binary_sensor/{node}/{name}/config", json.dumps(config), retain=True)]

    def _of(self, camera: str) -> str:
        return f"{self.prefix}/{re.sub(r'[/+#$]|[^ -~]', '-', camera)}"


def _identifier(name: str) -> str:
    """A name of letters, digits, _ and -, another one for each name."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return plain if plain == name else f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
