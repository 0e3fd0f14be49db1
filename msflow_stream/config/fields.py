"""The types of single settings: times of day, durations, names of computers, and addresses."""

from __future__ import annotations

import math
import re
from datetime import time
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, SecretStr, WithJsonSchema

CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"
DURATION = r"^(?=.)(\d+(\.\d+)?d)?(\d+(\.\d+)?h)?(\d+(\.\d+)?m)?(\d+(\.\d+)?s)?$"
UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}  # seconds
HOST = r"^[A-Za-z0-9._:-]+$"
TOPIC = r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$"
Seconds = Annotated[FiniteFloat, Field(gt=0)]
Topic = Annotated[str, Field(pattern=TOPIC)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _clock(value: Any) -> Any:
    if not re.fullmatch(CLOCK, str(value)):
        raise ValueError("should be a time of day such as 06:30")
    return value


def duration_seconds(value: Any) -> float:
    """Returns the seconds of a length of time: of 30m, 2h, 90s or 1h30m, or of a number, which is seconds.

    Raises:
        ValueError: it is none, or nothing at all.
    """
    seconds = math.nan
    if isinstance(value, str) and re.fullmatch(DURATION, text := re.sub(r"\s", "", value.lower())):
        seconds = sum(float(number) * UNITS[unit] for number, _, unit in re.findall(r"(\d+(\.\d+)?)([dhms])", text))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    if not 0 < seconds < math.inf:
        raise ValueError("should be a length of time such as 30m, 2h or 90s")
    return seconds


def duration_text(seconds: float) -> str:
    """Returns a length of time as a person writes it, such as 1h30m; whole seconds, and none at all is 0s."""
    left, parts = round(seconds), []
    for unit, size in UNITS.items():
        count, left = divmod(left, int(size))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


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


def _host(name: str) -> str:
    try:
        name.encode("idna")
    except UnicodeError:  # which connecting would raise
        raise ValueError("is no name of a computer") from None
    return name


def _mailbox(address: str) -> str:
    if not re.fullmatch(r"[^\s@,;<>]+@[^\s@,;<>]+", address):
        raise ValueError("should be an address such as guard@example.org")
    return address


ClockTime = Annotated[time, BeforeValidator(_clock), WithJsonSchema({"type": "string", "pattern": CLOCK})]


Duration = Annotated[
    float,
    BeforeValidator(duration_seconds),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": DURATION}, {"type": "number", "exclusiveMinimum": 0}]}),
]


Host = Annotated[str, Field(pattern=HOST), AfterValidator(_host)]


WebAddress = Annotated[SecretStr, AfterValidator(_web_address)]


Mailbox = Annotated[str, AfterValidator(_mailbox)]
