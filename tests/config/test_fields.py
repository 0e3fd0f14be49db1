from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from msflow_stream.config.fields import Duration, duration_seconds, duration_text

ADAPTER: TypeAdapter[float] = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30m", 1800), ("2h", 7200), ("90s", 90), ("1h30m", 5400), ("1d", 86400), (" 1.5 H ", 5400), (12, 12), (0.5, 0.5)],
)
def test_a_length_of_time_is_written_with_units_or_as_seconds(value: object, seconds: float) -> None:
    assert ADAPTER.validate_python(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "30",
        "m",
        "30 apples",
        "-3m",
        "0s",
        "5m3h",
        "1e3s",
        0,
        -1,
        True,
        None,
        float("nan"),
        float("inf"),
        "9" * 400 + "d",
    ],
)
def test_anything_else_is_told_how_it_is_written(value: object) -> None:
    with pytest.raises(ValidationError, match="such as 30m, 2h or 90s"):
        ADAPTER.validate_python(value)


@given(st.integers(1, 10**7))
def test_a_length_of_time_is_read_as_it_was_written(seconds: int) -> None:
    assert duration_seconds(duration_text(seconds)) == seconds
