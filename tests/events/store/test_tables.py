from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from msflow_stream.events.store import parse_moment
from msflow_stream.types import UserError

NOW = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)


@pytest.fixture
def in_kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is 5:45 h before UTC."""
    with monkeypatch.context() as change:
        change.setenv("TZ", "XXX-05:45")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        (" 1.5 h ", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        ("0s", timedelta(0)),
    ],
)
def test_a_span_means_so_long_ago(text: str, ago: timedelta) -> None:
    assert parse_moment(text, NOW) == NOW - ago


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02", datetime(2026, 1, 1, 18, 15, tzinfo=UTC)),
        ("2026-01-02T05:45", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02 05:45:30.5", datetime(2026, 1, 2, 0, 0, 30, 500_000, tzinfo=UTC)),
        ("2026-01-02T05:45Z", datetime(2026, 1, 2, 5, 45, tzinfo=UTC)),
        ("2026-01-02T05:45+02:00", datetime(2026, 1, 2, 3, 45, tzinfo=UTC)),
    ],
)
@pytest.mark.usefixtures("in_kathmandu")
def test_a_date_or_time_is_local_unless_it_says_where(text: str, moment: datetime) -> None:
    found = parse_moment(text, NOW)
    assert (found, found.tzinfo) == (moment, UTC)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2", "2x", "-2h", "h", "2026-13-01", "02.01.2026", "9" * 30 + "d", "0001-01-01T00:00+14:00"],
)
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UserError, match="is no moment: give 30m, 2h, 7d, 2026-01-31 or"):
        parse_moment(text, NOW)
