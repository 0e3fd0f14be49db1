"""Numbers, spans of time and foreign text in the few characters that a table has."""

from __future__ import annotations

import math
import re
from itertools import pairwise

from msflow_stream.logs import one_line

URL_BEFORE = re.compile(r"^[a-z][a-z0-9+.-]*://\S+: ", re.IGNORECASE)


UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def short_reason(reason: str) -> str:
    """A camera's reason without the address at its front."""
    return one_line(URL_BEFORE.sub("", reason))


def short_number(number: int) -> str:
    """At most five characters.

    >>> [short_number(n) for n in (0, 999, 1234, 99_950, 2_500_000)]
    ['0', '999', '1.2k', '100k', '2.5M']
    """
    value = float(number)
    for unit in ("", "k", "M", "G"):
        if value < 999.5:
            return f"{value:.1f}{unit}" if unit and value < 9.95 else f"{value:.0f}{unit}"
        value /= 1000
    return f"{value:.0f}T"


def span(seconds: float) -> str:
    """A time in its two largest units.

    >>> [span(s) for s in (0.4, 12, 3 * 60, 7384, 97 * 3600)]
    ['0s', '12s', '3m', '2h03m', '4d01h']
    """
    rest = max(0, math.floor(seconds))
    for (size, unit), (smaller, below) in pairwise(UNITS):
        if rest >= size:
            minor = rest % size // smaller
            return f"{rest // size}{unit}" + (f"{minor:02d}{below}" if unit != "m" else "")
    return f"{rest}s"


def lag_text(seconds: float) -> str:
    """Seconds behind live, with a decimal where it matters."""
    return f"{seconds:.1f}s" if seconds < 9.95 else span(seconds)


def size_text(number: int) -> str:
    """Bytes.

    >>> size_text(1_288_490_189)
    '1.2 GiB'
    """
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
