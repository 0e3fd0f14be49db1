"""Settings of alerts: closed to what they do not know, and silent about secrets."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from msflow_stream.config.alerts import Alert, JsonLinesSettings, Quiet, placed

ALERT: TypeAdapter[Any] = TypeAdapter(Alert)
EXAMPLES: dict[str, dict[str, Any]] = {
    "jsonl": {"type": "jsonl"},
    "webhook": {"type": "webhook", "url": "https://user:sesame-word@hooks.example/sesame-path", "secret": "sesame-key"},
    "mqtt": {"type": "mqtt", "host": "broker.example", "username": "guard", "password": "sesame-word"},
    "email": {
        "type": "email",
        "host": "mail.example",
        "sender": "cam@example.org",
        "to": ["a@example.org"],
        "username": "guard",
        "password": "sesame-word",
    },
    "command": {"type": "command", "command": ["/usr/bin/bell"]},
}


@pytest.mark.parametrize("type_", EXAMPLES)
def test_the_least_that_can_be_said_is_enough_and_no_secret_shows(type_: str) -> None:
    alert = ALERT.validate_python(EXAMPLES[type_])
    assert alert.type == type_
    assert "sesame" not in repr(alert) + str(alert.model_dump()) + alert.model_dump_json()
    assert all("sesame" in secret for secret in alert.secrets())


@pytest.mark.parametrize("type_", EXAMPLES)
def test_an_unknown_key_is_a_mistake(type_: str) -> None:
    with pytest.raises(ValidationError, match=r"colour\n +Extra inputs"):
        ALERT.validate_python({**EXAMPLES[type_], "colour": "red"})


@pytest.mark.parametrize(
    ("type_", "values", "said"),
    [
        ("webhook", {"url": "ftp://hooks.example/sesame"}, "begins with http"),
        ("webhook", {"url": "https://"}, "begins with http"),
        ("webhook", {"url": "https://hooks.example:sesame/"}, "begins with http"),
        ("webhook", {"url": "https://[sesame/"}, "begins with http"),
        ("mqtt", {"kinds": ["open"]}, "open, close"),
        ("mqtt", {"username": None}, "needs a username"),
        ("mqtt", {"ca": "a.pem"}, "without tls"),
        ("mqtt", {"prefix": "a/#"}, "pattern"),
        ("mqtt", {"prefix": "a/"}, "pattern"),
        ("mqtt", {"host": "mqtt://x"}, "pattern"),
        ("mqtt", {"host": "broker..example"}, "name of a computer"),
        ("email", {"to": ["nobody"]}, "address"),
        ("email", {"to": ["a@b.example\nBcc: c@d.example"]}, "address"),
        ("email", {"to": []}, "at least 1"),
        ("email", {"kinds": ["update"]}, "open"),
        ("email", {"password": None}, "both"),
        ("command", {"command": []}, "at least 1"),
        ("jsonl", {"duration": 3}, r"kinds: \[close\]"),
        ("jsonl", {"quiet": [{"start": "25:00", "end": "06:00"}]}, "time of day"),
        ("jsonl", {"severity": "worst"}, "medium"),
        ("jsonl", {"triggers": ["noise"]}, "surprise"),
        ("jsonl", {"queue": 0}, "greater"),
    ],
)
def test_a_mistake_is_said_without_the_secrets(type_: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as error:
        ALERT.validate_python({**EXAMPLES[type_], **values})
    messages = [one["msg"] for one in error.value.errors(include_input=False, include_context=False)]
    assert not any("sesame" in message for message in messages)


def test_a_type_that_there_is_not_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="'jsonl', 'webhook', 'mqtt', 'email', 'command'"):
        ALERT.validate_python({"type": "pigeon"})
    for nothing in ({}, {"type": None}, {"type": ["jsonl"]}, "jsonl", None):
        with pytest.raises(ValidationError):
            ALERT.validate_python(nothing)


@pytest.mark.parametrize(
    ("start", "end", "inside", "outside"),
    [("09:00", "17:00", ["09:00", "16:59"], ["08:59", "17:00"]), ("22:00", "06:00", ["22:00", "00:00"], ["06:00"])],
)
def test_quiet_hours_may_go_over_midnight(start: str, end: str, inside: list[str], outside: list[str]) -> None:
    quiet = Quiet.model_validate({"start": start, "end": end})
    assert all(quiet.covers(time.fromisoformat(now)) for now in inside)
    assert not any(quiet.covers(time.fromisoformat(now)) for now in outside)


def test_paths_are_relative_to_the_file_that_they_are_in() -> None:
    alert = placed(JsonLinesSettings(type="jsonl", file=Path("events.jsonl")), Path("/etc/watch"))
    assert isinstance(alert, JsonLinesSettings)
    assert alert.file == Path("/etc/watch/events.jsonl")
    assert placed(JsonLinesSettings(type="jsonl", file=Path("/x")), Path("/etc")).file == Path("/x")  # type: ignore[union-attr]


def test_there_is_a_schema_for_editors() -> None:
    schema = ALERT.json_schema()
    assert set(schema["discriminator"]["mapping"]) == set(EXAMPLES)
