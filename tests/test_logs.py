"""Secrets that never show, and troubles that are logged once."""

from __future__ import annotations

import doctest
import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream import logs
from msflow_stream.logs import Outage, RedactingFormatter, Redactor

SECRET = 'pa"ss/wörd'
HIDDEN = "hidden"


def test_the_examples_hold() -> None:
    result = doctest.testmod(logs)
    assert result.attempted
    assert not result.failed


@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_secret_is_hidden_wherever_it_stands_as_it_is_and_as_json(before: str, after: str) -> None:
    redactor = Redactor([SECRET])
    text = before + SECRET + after
    assert SECRET not in redactor(text)
    assert json.dumps(SECRET)[1:-1] not in redactor(json.dumps({"message": text}))


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("rtsp://admin:hid%40den@camera/1", ["admin:hid%40den", "hid%40den", "hid@den", "admin:hid@den"]),
        ("http://token@camera/1", ["token"]),
    ],
)
def test_credentials_of_an_address_are_hidden_as_written_and_as_meant(url: str, secrets: list[str]) -> None:
    redactor = Redactor()
    redactor.add_credentials([url])
    for secret in secrets:
        assert redactor(f"401 for {secret}, 1 try") == "401 for ***, 1 try"
    assert redactor(url).endswith("@camera/1")


def test_an_address_that_is_secret_is_hidden_with_all_its_parts() -> None:
    redactor = Redactor()
    redactor.add_addresses(["https://me:hid%40den@hooks.example/services/T0/abc?sig=xyz%2Fz&v=12"])
    for part in ("/services/T0/abc", "abc", "xyz%2Fz", "xyz/z", "hid%40den", "sig=xyz%2Fz&v=12"):
        assert redactor(f"<{part}>") == "<***>"


def test_a_password_that_a_user_begins_with_leaves_nothing_of_the_user() -> None:
    assert Redactor(["guard", "guardian"])("guardian, guard") == "***, ***"


def test_short_secrets_are_hidden_in_quotes_only() -> None:
    redactor = Redactor(["e"])
    redactor.add_quoted(["e"])
    assert redactor('the user "e"') == 'the user "***"'


def test_credentials_in_any_url_are_hidden_where_asked() -> None:
    text = "cannot open rtsp://admin:hidden@camera/1"
    assert Redactor(any_url=True)(text) == "cannot open rtsp://***@camera/1"
    assert Redactor()(text) == text


def test_a_log_shows_no_secret_not_even_in_a_traceback() -> None:
    redactor = Redactor()
    formatter = RedactingFormatter(logging.Formatter("%(message)s"), redactor)
    redactor.add([HIDDEN])
    try:
        raise ValueError(f"wrong: {HIDDEN}")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "", 0, "login %s", (HIDDEN,), sys.exc_info())
    text = formatter.format(record)
    assert text.startswith("login ***\nTraceback")
    assert "ValueError: wrong: ***" in text
    assert HIDDEN not in text.replace("HIDDEN", "")


def test_a_trouble_is_logged_once_until_its_reason_changes_or_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(logging.getLogger("msflow_stream.test"))
    with caplog.at_level(logging.INFO):
        outage.end("works")
        for reason in ("full", "full", "gone"):
            outage.begin(f"cannot write: {reason}", reason)
            assert outage.lasts
        outage.end("works again")
        outage.end("works again")
    assert caplog.messages == ["cannot write: full", "cannot write: gone", "works again"]
    assert not outage.lasts
