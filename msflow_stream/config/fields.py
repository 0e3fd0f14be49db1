"""The types of single settings: times of day, durations, names of computers, and addresses."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, SecretStr, WithJsonSchema

CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"
HOST = r"^[A-Za-z0-9._:-]+$"
TOPIC = r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$"
Seconds = Annotated[FiniteFloat, Field(gt=0)]
Topic = Annotated[str, Field(pattern=TOPIC)]
Port = Annotated[int, Field(ge=1, le=65535)]


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


Host = Annotated[str, Field(pattern=HOST), AfterValidator(_host)]


WebAddress = Annotated[SecretStr, AfterValidator(_web_address)]


Mailbox = Annotated[str, AfterValidator(_mailbox)]
