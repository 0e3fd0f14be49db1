"""What can be said of an alert in the cameras file: where it goes, and which events it is for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, SecretStr, WithJsonSchema, model_validator

from msflow_stream.config.settings import ScoreKind, Section
from msflow_stream.types import Severity

ALERT_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"  # of its files, on any system
CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"
HOST = r"^[A-Za-z0-9._:-]+$"
TOPIC = r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$"
MIB = 2**20


def _clock(value: Any) -> Any:
    if not re.fullmatch(CLOCK, str(value)):
        raise ValueError("should be a time of day such as 06:30")
    return value


def _web_address(url: SecretStr) -> SecretStr:
    address = url.get_secret_value().strip()
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # whose text would show the address
        known = False
    if not known or re.search(r"\s", address):
        raise ValueError("is no address; one begins with http:// or https://")
    return SecretStr(address)


def _mailbox(address: str) -> str:
    if not re.fullmatch(r"[^\s@,;<>]+@[^\s@,;<>]+", address):
        raise ValueError("should be an address such as guard@example.org")
    return address


ClockTime = Annotated[time, BeforeValidator(_clock), WithJsonSchema({"type": "string", "pattern": CLOCK})]
Seconds = Annotated[FiniteFloat, Field(gt=0)]
Host = Annotated[str, Field(pattern=HOST)]
Topic = Annotated[str, Field(pattern=TOPIC)]
Port = Annotated[int, Field(ge=1, le=65535)]
WebAddress = Annotated[SecretStr, AfterValidator(_web_address)]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
Kind = Literal["open", "update", "close"]
AlertName = Annotated[str, Field(pattern=ALERT_NAME)]


class Quiet(Section):
    """A span of the day, over midnight if its end is before its start."""

    start: ClockTime = Field(description="time of day, hours:minutes, by the clock of the machine")
    end: ClockTime = Field(description="time of day at which it is over")

    def covers(self, now: time) -> bool:
        if self.start <= self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end


class AlertSettings(Section):
    """What every kind of alert has: which events it is for, and how long it waits for a receiver that is away."""

    severity: Severity = Field(default="low", description="the least severity that it is for")
    cameras: tuple[str, ...] = Field(default=(), description="names of the cameras that it is for; all if empty")
    triggers: tuple[ScoreKind, ...] = Field(default=(), description="kinds of score that it is for; all if empty")
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
        """What must not be seen anywhere."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                yield value.get_secret_value()


class JsonLinesSettings(AlertSettings):
    """A line of JSON per message."""

    type: Literal["jsonl"] = Field(description="what kind of alert it is")
    file: Path | None = Field(default=None, description="relative to this file; null: standard output")
    max_bytes: int = Field(default=64 * MIB, ge=1024, description="size at which the file is put aside")
    keep: int = Field(default=5, ge=0, description="files put aside that are kept")


class WebhookSettings(AlertSettings):
    """A POST of JSON per message."""

    type: Literal["webhook"] = Field(description="what kind of alert it is")
    url: WebAddress = Field(description="http or https address; it never shows in logs or errors")
    secret: SecretStr | None = Field(default=None, min_length=1, description="key of the signature; null: not signed")
    timeout: Seconds = Field(default=10.0, description="seconds without an answer until an attempt is given up")
    ca: Path | None = Field(default=None, description="certificates to trust instead of the system's")


class MqttSettings(AlertSettings):
    """Topics of an MQTT broker: events, the state of each camera, and what Home Assistant needs to find them."""

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

    type: Literal["command"] = Field(description="what kind of alert it is")
    command: tuple[str, ...] = Field(min_length=1, description="program and arguments; no shell is involved")
    timeout: Seconds = Field(default=30.0, description="seconds until it is ended")
    attempts: int = Field(default=5, ge=1, description="times it is run at most for a message that it fails on")


Alert = Annotated[
    JsonLinesSettings | WebhookSettings | MqttSettings | EmailSettings | CommandSettings, Field(discriminator="type")
]


def keys_of(kind: str) -> list[str]:
    """The keys of alerts of that type; none if there is no such type."""
    for settings in get_args(get_args(Alert)[0]):
        if kind in get_args(settings.model_fields["type"].annotation):
            return list(settings.model_fields)
    return []


def placed(alert: Alert, folder: Path) -> Alert:
    """The alert with its paths taken from a folder, that of the cameras file."""
    paths = {name: value for name in type(alert).model_fields if isinstance(value := getattr(alert, name), Path)}
    return alert.model_copy(update={name: folder / path.expanduser() for name, path in paths.items()})
