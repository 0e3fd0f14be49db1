from __future__ import annotations

import io
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.terminal.listing import Form, plain, print_rows

HERE = timezone(timedelta(hours=5, minutes=45))


def printed(form: Form, *values: Any) -> str:
    """The values of one column."""
    console = Console(file=io.StringIO(), width=20, force_terminal=True)
    print_rows(console, form, ["value"], [{"value": value, "other": "left out"} for value in values])
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_value_is_one_cell_whatever_is_in_it() -> None:
    hostile = ["a\tb", "c\r\nd", "C:\\new", "\x1b[2J", "e\u2028f", "x" * 60]
    assert printed("tsv", *hostile).split("\n") == [
        "value",
        r"a\tb",
        r"c\r\nd",
        r"C:\\new",
        r"\x1b[2J",
        r"e\u2028f",
        "x" * 60,
        "",
    ]


def test_values_of_each_kind_are_as_json_has_them() -> None:
    assert printed("tsv", None, True, 0.1, 3, [1, None], "true", "ü").split("\n")[1:-1] == [
        *("", "true", "0.1", "3", "[1, null]", "true", "ü"),
    ]


def test_json_has_no_number_that_is_none_and_times_in_utc() -> None:
    moment = datetime(2026, 1, 2, 8, 49, 5, tzinfo=HERE)
    values = json.loads(printed("json", math.inf, math.nan, moment, Path("a/b"), (1.5, -math.inf)), parse_constant=int)
    assert [one["value"] for one in values] == [None, None, "2026-01-02T03:04:05Z", "a/b", [1.5, None]]
    assert plain({"at": datetime(2026, 1, 2, tzinfo=UTC)}) == {"at": "2026-01-02T00:00:00Z"}
