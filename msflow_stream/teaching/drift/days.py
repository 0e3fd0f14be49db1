"""The facts of a camera's days: how long it was watched, its scores, its light, and its view; a small file a day."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from msflow_stream.files import write_json
from msflow_stream.video.coverage import BRIGHTNESS_BINS

FOLDER = "days"  # in the camera's folder
FORMAT = 1
KEPT = timedelta(days=400)
QUANTILES = (0.5, 0.9, 0.99)


@dataclass(slots=True)
class HourFacts:
    """The facts of an hour, or of a part of one: another scene or another start of the watch begins a new part.

    Attributes:
        hour: of the day, by the clock of the machine.
        scene, fit, kind: what its scores are of; those of another fit cannot be compared.
        seconds: watched, without gaps.
        alarms: times that the smoothed score came above its threshold; several may be of one event.
        scores: QUANTILES of the smoothed score.
        brightness: seconds by mean grey level, as Coverage has them.
        motion: mean share of the view that moves; None where no frame tells.
        view: as View.to_json gives it; None where there were too few images.
    """

    hour: int
    scene: str
    fit: str
    kind: str
    seconds: float = 0.0
    alarms: int = 0
    scores: list[float] = field(default_factory=list)
    brightness: list[float] = field(default_factory=lambda: [0.0] * BRIGHTNESS_BINS)
    motion: float | None = None
    view: dict[str, Any] | None = None


@dataclass(slots=True)
class Day:
    """A day of a camera, by the clock of the machine."""

    date: date
    hours: list[HourFacts] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The seconds that were watched."""
        return sum(hour.seconds for hour in self.hours)

    def of(self, fit: str) -> Day:
        """Returns what was watched with one fit of a scene."""
        return Day(self.date, [hour for hour in self.hours if hour.fit == fit])

    def write(self, camera: Path) -> None:
        """Writes it into a camera's folder."""
        path = _path(camera, self.date)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"format": FORMAT, "hours": [asdict(hour) for hour in self.hours]})

    @classmethod
    def read(cls, camera: Path, day: dt.date) -> Day:
        """Returns a day; without hours where there is no file that can be read."""
        try:
            content = json.loads(_path(camera, day).read_text(encoding="utf-8"))
            hours = [HourFacts(**one) for one in content["hours"]]
        except (OSError, ValueError, KeyError, TypeError):
            return cls(day)
        return cls(day, [one for one in hours if _is_whole(one)])


def read_days(camera: Path, since: date, until: date) -> list[Day]:
    """Returns the days of a span, both ends among them, on which something was watched; oldest first."""
    found = (Day.read(camera, day) for day in _dates(camera) if since <= day <= until)
    return [day for day in found if day.hours]


def remove_old(camera: Path, today: date) -> None:
    """Removes days that are older than KEPT, and as many behind the newest: a clock that goes wrong removes none."""
    for day in _dates(camera)[: -KEPT.days]:
        if day < today - KEPT:
            _path(camera, day).unlink(missing_ok=True)


def merged(parts: Iterable[HourFacts]) -> dict[int, list[HourFacts]]:
    """Returns the parts by their hour of the day."""
    found: dict[int, list[HourFacts]] = {}
    for part in parts:
        found.setdefault(part.hour, []).append(part)
    return found


def spans(hours: Sequence[int]) -> list[tuple[int, int]]:
    """Returns hours of the day as spans, from and to; one over midnight is one.

    >>> spans([23, 0, 18, 19])
    [(18, 20), (23, 1)]
    """
    there = set(hours)
    if len(there) == 24:
        return [(0, 24)]
    found = []
    for first in sorted(hour for hour in there if (hour - 1) % 24 not in there):
        last = first
        while last % 24 in there:
            last += 1
        found.append((first, last if last <= 24 else last - 24))
    return found


def _dates(camera: Path) -> list[date]:
    found = []
    for path in (camera / FOLDER).glob("*.json"):
        try:
            found.append(date.fromisoformat(path.stem))
        except ValueError:
            continue
    return sorted(found)


def _path(camera: Path, day: date) -> Path:
    return camera / FOLDER / f"{day.isoformat()}.json"


def _is_whole(hour: HourFacts) -> bool:
    return (
        isinstance(hour.hour, int)
        and 0 <= hour.hour < 24
        and isinstance(hour.seconds, int | float)
        and len(hour.brightness) == BRIGHTNESS_BINS
        and len(hour.scores) in (0, len(QUANTILES))
    )
