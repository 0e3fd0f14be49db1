"""The settings of alerts in the cameras file: where each goes, and which events it is for.

An alert's `type` says which class of settings it has, and that class names the sink that delivers. Another package adds
a type by an entry point of the group `msflow_stream.alert_sinks`: its name is the type, its object the settings' class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import time
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, SecretStr, TypeAdapter, model_validator
from pydantic_core import CoreSchema, core_schema

from msflow_stream.config.fields import ClockTime, Host, Mailbox, Port, Seconds, Topic, WebAddress
from msflow_stream.config.settings import Section
from msflow_stream.types import Severity, TriggerName, UserError

ENTRY_POINTS = "msflow_stream.alert_sinks"

ALERT_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"  # of its files, on any system
MIB = 2**20

Kind = Literal["open", "update", "close"]
AlertName = Annotated[str, Field(pattern=ALERT_NAME)]


class Quiet(Section):
    """A span of the day, over midnight if its end is before its start."""

    start: ClockTime = Field(description="time of day, hours:minutes, by the clock of the machine")
    end: ClockTime = Field(description="time of day at which it is over")

    def covers(self, now: time) -> bool:
        """Returns whether a time of day is in the span."""
        if self.start <= self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end


class AlertSettings(Section):
    """The settings of every type of alert: which events it is for, and how long it waits for a receiver that is away.

    Attributes:
        sink: MODULE:CLASS of its `AlertSink`, which is imported when the alert begins.
    """

    sink: ClassVar[str]

    severity: Severity = Field(default="low", description="the least severity that it is for")
    cameras: tuple[str, ...] = Field(default=(), description="names of the cameras that it is for; all if empty")
    triggers: tuple[TriggerName, ...] = Field(
        default=(), description="what raised the events that it is for: motion, appearance, view or kinds of score"
    )
    kinds: tuple[Kind, ...] = Field(
        default=("open", "update", "close"), min_length=1, description="what is said of an event"
    )
    quiet: tuple[Quiet, ...] = Field(default=(), description="spans of the day in which no event is begun")
    duration: Seconds | None = Field(
        default=None, description="seconds that an event must have lasted; for kinds: [close]"
    )
    cooldown: Seconds | None = Field(
        default=None, description="seconds after an event in which no other one of that camera is begun"
    )
    queue: int = Field(default=10_000, ge=1, description="messages that wait at most; beyond, the oldest are given up")
    give_up_after: Seconds = Field(default=86_400.0, description="seconds after which a message is given up")

    @model_validator(mode="after")
    def _a_duration_is_known_at_the_end(self) -> AlertSettings:
        if self.duration is not None and self.kinds != ("close",):
            raise ValueError("duration goes with kinds: [close]; who is told of a beginning is told of its end too")
        return self

    def secrets(self) -> Iterator[str]:
        """Yields what must not be seen anywhere."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                yield value.get_secret_value()


class JsonLinesSettings(AlertSettings):
    """A line of JSON per message."""

    sink = "msflow_stream.events.alerts.sinks.jsonl:JsonLines"

    type: Literal["jsonl"] = Field(description="what kind of alert it is")
    file: Path | None = Field(default=None, description="relative to this file; null: standard output")
    max_bytes: int = Field(default=64 * MIB, ge=1024, description="size at which the file is put aside")
    keep: int = Field(default=5, ge=0, description="files put aside that are kept")


class WebhookSettings(AlertSettings):
    """A POST of JSON per message."""

    sink = "msflow_stream.events.alerts.sinks.webhook:Webhook"

    type: Literal["webhook"] = Field(description="what kind of alert it is")
    url: WebAddress = Field(description="http or https address; it never shows in logs or errors")
    secret: SecretStr | None = Field(default=None, min_length=1, description="key of the signature; null: not signed")
    timeout: Seconds = Field(default=10.0, description="seconds without an answer until an attempt is given up")
    ca: Path | None = Field(default=None, description="certificates to trust instead of the system's")


class MqttSettings(AlertSettings):
    """Topics of an MQTT broker: events, the state of each camera, and what Home Assistant needs to find them."""

    sink = "msflow_stream.events.alerts.sinks.mqtt:Mqtt"

    type: Literal["mqtt"] = Field(description="what kind of alert it is")
    host: Host = Field(description="name or address of the broker")
    port: Port | None = Field(default=None, description="null: 1883, or 8883 with tls")
    tls: bool = Field(default=False, description="whether the connection is encrypted")
    ca: Path | None = Field(default=None, description="certificates to trust instead of the system's")
    username: str | None = Field(default=None, description="null: without a login")
    password: SecretStr | None = Field(default=None, description="of the login")
    prefix: Topic = Field(default="msflow-stream", description="of all topics; each running program needs its own")
    discovery: Topic | None = Field(default="homeassistant", description="Home Assistant's prefix; null: not announced")
    timeout: Seconds = Field(default=10.0, description="seconds without an answer until an attempt is given up")

    @model_validator(mode="after")
    def _what_it_cannot_do_without(self) -> MqttSettings:
        if not {"open", "close"} <= set(self.kinds):
            raise ValueError("the state of a camera needs kinds: [open, close], or all of them")
        if self.password is not None and self.username is None:
            raise ValueError("a password needs a username")
        if self.ca is not None and not self.tls:
            raise ValueError("ca changes nothing without tls: true")
        return self


class EmailSettings(AlertSettings):
    """A mail per event, and one more when it is over if `kinds` has close."""

    sink = "msflow_stream.events.alerts.sinks.email:Mail"

    type: Literal["email"] = Field(description="what kind of alert it is")
    host: Host = Field(description="name or address of the SMTP server")
    port: Port | None = Field(default=None, description="null: 587 for starttls, 465 for tls, 25 for none")
    security: Literal["starttls", "tls", "none"] = Field(default="starttls", description="how it is encrypted")
    ca: Path | None = Field(default=None, description="certificates to trust instead of the system's")
    username: str | None = Field(default=None, description="null: without a login")
    password: SecretStr | None = Field(default=None, description="of the login")
    sender: Mailbox = Field(description="address it comes from")
    to: tuple[Mailbox, ...] = Field(min_length=1, description="addresses it goes to")
    timeout: Seconds = Field(default=30.0, description="seconds without an answer until an attempt is given up")
    kinds: tuple[Literal["open", "close"], ...] = Field(default=("open",), min_length=1, description="what is mailed")

    @model_validator(mode="after")
    def _a_login_is_whole(self) -> EmailSettings:
        if (self.username is None) != (self.password is None):
            raise ValueError("a login needs both username and password")
        return self


class CommandSettings(AlertSettings):
    """A program that is run for each message, with its JSON as standard input."""

    sink = "msflow_stream.events.alerts.sinks.command:Command"

    type: Literal["command"] = Field(description="what kind of alert it is")
    command: tuple[str, ...] = Field(min_length=1, description="program and arguments; no shell is involved")
    timeout: Seconds = Field(default=30.0, description="seconds until it is ended")
    attempts: int = Field(default=5, ge=1, description="times it is run at most for a message that it fails on")


SETTINGS: Mapping[str, type[AlertSettings]] = {
    "jsonl": JsonLinesSettings,
    "webhook": WebhookSettings,
    "mqtt": MqttSettings,
    "email": EmailSettings,
    "command": CommandSettings,
}


def _settings(kind: object) -> Mapping[str, type[AlertSettings]]:
    """Returns the settings of each type of this package and, if it is another, of that type.

    Raises:
        UserError: what another package has for the type cannot be used.
    """
    if not isinstance(kind, str) or kind in SETTINGS:
        return SETTINGS
    return {**SETTINGS, **{one.name: _load(one) for one in entry_points(group=ENTRY_POINTS) if one.name == kind}}


def _load(point: EntryPoint) -> type[AlertSettings]:
    try:
        settings: type[AlertSettings] = point.load()
        if not issubclass(settings, AlertSettings):
            raise TypeError("it is no AlertSettings")
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"alerts of type {point.name!r} need {point.value}, which cannot be loaded: {reason}") from None
    return settings


@cache
def _adapter(settings: tuple[type[AlertSettings], ...]) -> TypeAdapter[Any]:
    union: Any = Union[settings]  # noqa: UP007 (its members are known only when it runs)
    return TypeAdapter(Annotated[union, Field(discriminator="type")])


def _validated(value: Any) -> AlertSettings:
    if isinstance(value, AlertSettings):
        return value
    try:
        known = _settings(value.get("type") if isinstance(value, Mapping) else None)
    except UserError as error:
        raise ValueError(str(error)) from None
    alert: AlertSettings = _adapter(tuple(known.values())).validate_python(value)
    return alert


class _AnyType:
    """The validator of an alert: as the settings that its `type` says."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_validated)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        others = {one.name: _load(one) for one in entry_points(group=ENTRY_POINTS)}
        return handler(_adapter(tuple({**others, **SETTINGS}.values())).core_schema)


Alert = Annotated[AlertSettings, _AnyType()]


def keys_of(kind: str) -> list[str]:
    """Returns the keys of alerts of that type; none if there is no such type."""
    settings = _settings(kind).get(kind)
    return [] if settings is None else list(settings.model_fields)


def placed(alert: Alert, folder: Path) -> Alert:
    """Returns the alert with its paths taken from a folder, that of the cameras file."""
    paths = {name: value for name in type(alert).model_fields if isinstance(value := getattr(alert, name), Path)}
    return alert.model_copy(update={name: folder / path.expanduser() for name, path in paths.items()})
