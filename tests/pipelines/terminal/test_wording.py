from __future__ import annotations

import doctest

import pytest

from msflow_stream.logs import one_line
from pipelines.terminal import trend
from pipelines.terminal.trend import lag_text, short_number, short_reason, span


def test_the_examples_hold() -> None:
    result = doctest.testmod(trend)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("number", [0, 5, 9_949, 9_951, 99_499, 999_499, 999_500, 10**9, 10**12, 8 * 10**14])
def test_a_number_takes_at_most_five_characters_and_is_right_to_half_its_last_digit(number: int) -> None:
    text = short_number(number)
    assert len(text) <= 5
    factor = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(text[-1], 1.0)
    said = float(text.rstrip("kMGT")) * factor
    assert abs(said - number) <= 0.5 * factor / (10 if "." in text else 1)


def test_a_span_that_is_negative_is_none() -> None:
    assert span(-5) == "0s"


def test_lag_has_a_decimal_where_it_matters() -> None:
    assert [lag_text(seconds) for seconds in (0, 0.25, 9.94, 9.96, 61.5)] == ["0.0s", "0.2s", "9.9s", "9s", "1m"]


def test_text_becomes_one_line_that_commands_nothing() -> None:
    assert one_line("a\nb\tc\x1b[0m\x9bd\u202e門") == "a b c [0m d 門"


def test_a_reason_is_short_without_the_address() -> None:
    assert short_reason("rtsp://***@camera.example/a: cannot connect; check") == "cannot connect; check"
    assert short_reason("no picture for 3.0 s") == "no picture for 3.0 s"
