"""Rates and durations between reports, and the short texts that a table shows them as."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from msflow_stream.logs import one_line
from msflow_stream.stream.counters import LATENCY_BOUNDS, Latency
from msflow_stream.video.live.states import CameraStatus, State
from msflow_stream.watch.report import WatchReport

WINDOW = 10.0  # seconds, over which rates are taken
AWAY = frozenset({State.CONNECTING, State.RECONNECTING})  # they alternate while a camera cannot be reached
URL_BEFORE = re.compile(r"^[a-z][a-z0-9+.-]*://\S+: ", re.IGNORECASE)
UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Moment:
    """A report and when it was made."""

    at: datetime
    report: WatchReport


class Trend:
    """Remembers the reports of the last seconds; for one thread."""

    def __init__(self) -> None:
        self._moments: deque[Moment] = deque()
        self._states: dict[str, tuple[State, datetime]] = {}

    def add(self, report: WatchReport, now: datetime) -> None:
        """Takes the next report."""
        if self._moments and now < self._moments[-1].at:
            self._moments.clear()  # the clock was put back
        self._moments.append(Moment(now, report))
        while len(self._moments) > 2 and (now - self._moments[1].at).total_seconds() >= WINDOW:
            self._moments.popleft()
        before, self._states = self._states, {}
        for camera in report.cameras:
            state = camera.status.state
            old, since = before.get(camera.name, (state, now))
            same = old is state or {old, state} == AWAY
            self._states[camera.name] = (state, since if same else now)

    def since(self, name: str) -> datetime | None:
        """Returns when the camera was first seen in its present state, or out of reach; None where it is not known."""
        return self._states[name][1] if name in self._states else None

    def rate(self, name: str) -> float | None:
        """Frames per second that arrive from the camera, None where two reports do not say."""
        if len(self._moments) < 2:
            return None
        first, last = self._moments[0], self._moments[-1]
        seconds = (last.at - first.at).total_seconds()
        old, new = _status(first.report, name), _status(last.report, name)
        if old is None or new is None or seconds <= 0 or new.frames_read < old.frames_read:  # less: it was restarted
            return None
        return (new.frames_read - old.frames_read) / seconds

    def batch_mean(self) -> float | None:
        """Frames per batch of late, None if there was no batch."""
        if not self._moments:
            return None
        old = self._moments[0].report.stream.batches if len(self._moments) > 1 else {}
        new = self._moments[-1].report.stream.batches
        counts = {size: count - old.get(size, 0) for size, count in new.items()}
        batches = sum(counts.values())
        return sum(size * count for size, count in counts.items()) / batches if batches else None

    def scoring_median(self) -> float | None:
        """Seconds that a batch took of late, None if there was no batch."""
        if not self._moments:
            return None
        new = self._moments[-1].report.stream.scoring
        if len(self._moments) < 2:
            return median(new.count, new.at_most)
        old: Latency = self._moments[0].report.stream.scoring
        return median(new.count - old.count, [n - o for n, o in zip(new.at_most, old.at_most, strict=True)])


def median(count: int, at_most: Sequence[int]) -> float | None:
    """The median of what a Latency counts, as Prometheus estimates it: evenly spread within a bucket.

    What is longer than all bounds counts as the last one. None if there is nothing.
    """
    if count <= 0:
        return None
    lower, below = 0.0, 0
    for bound, number in zip(LATENCY_BOUNDS, at_most, strict=True):
        if number >= count / 2:
            return lower + (bound - lower) * (count / 2 - below) / (number - below)
        lower, below = bound, number
    return LATENCY_BOUNDS[-1]


def _status(report: WatchReport, name: str) -> CameraStatus | None:
    return next((camera.status for camera in report.cameras if camera.name == name), None)


def short_reason(reason: str) -> str:
    """A camera's reason without the address at its front."""
    return one_line(URL_BEFORE.sub("", reason))


def short_number(number: int) -> str:
    """Returns a number in at most five characters.

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
    if number < 2**20:
        return f"{number / 2**10:.0f} KiB"
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
