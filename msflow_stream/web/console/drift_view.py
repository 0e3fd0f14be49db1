"""What the pages say of a camera's drift: its findings, and its false alarms beside the promise."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock

from msflow_stream.config.cameras import Cameras
from msflow_stream.events.store import EventFilter, EventStore
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.teaching.drift.drift import LOOKED_AT, camera_drift
from msflow_stream.teaching.drift.finding import Drift, Finding, Rate
from msflow_stream.types import UserError

FRESH = 60.0  # seconds; pages ask every few
TITLES = {
    "alarms": "More false alarms",
    "moved": "Camera moved",
    "light": "Light not learnt",
    "scores": "Scores creep up",
}


@dataclass(frozen=True, slots=True)
class DriftShown:
    """The drift of a camera as a page shows it.

    Attributes:
        cards: titles and findings.
        rate: the false alarms beside the promise, in words; None where nothing was watched.
    """

    cards: Sequence[tuple[str, Finding]] = ()
    rate: str | None = None


@dataclass
class Drifts:
    """The drift of cameras, read again when it is a minute old."""

    out: Path
    scenes: Path
    store: EventStore
    _known: dict[tuple[str, str], tuple[float, DriftShown]] = field(default_factory=dict)
    _reading: Lock = field(default_factory=Lock)

    def of(self, camera: str, scenes: Sequence[str]) -> list[DriftShown]:
        """Returns the drift of a camera with each of its scenes; nothing where nothing can be said."""
        found = [self._one(camera, scene) for scene in scenes]
        return [one for one in found if one.cards or one.rate]

    def of_all(self, names: Sequence[str], settings: Cameras | None) -> dict[str, list[DriftShown]]:
        """Returns the drift of those of the cameras that the cameras file has."""
        configured = {} if settings is None else settings.cameras
        return {name: self.of(name, configured[name].scenes) for name in names if name in configured}

    def _one(self, camera: str, scene: str) -> DriftShown:
        key, now = (camera, scene), time.monotonic()
        with self._reading:  # one reads, others wait for what it finds
            known = self._known.get(key)
            if known is None or now - known[0] >= FRESH:
                known = self._known[key] = now, self._read(camera, scene)
        return known[1]

    def _read(self, camera: str, scene: str) -> DriftShown:
        now = datetime.now().astimezone()
        try:
            events = self.store.find(EventFilter(camera=camera, since=now - LOOKED_AT))
            alarms = [(one.happened, one.label) for one in events]
            return shown(camera_drift(self.out / camera, scene_folder(self.scenes, scene), alarms, now.date()))
        except (UserError, OSError):
            return DriftShown()


def shown(found: Drift) -> DriftShown:
    """Returns it in words."""
    cards = [(TITLES[one.kind], one) for one in found.findings]
    return DriftShown(cards, None if found.rate is None else rate_in_words(found.rate))


def rate_in_words(rate: Rate) -> str:
    """Returns false alarms beside the promise."""
    said = (
        f"{'at most ' if rate.unlabelled else ''}{rate.estimate:.2g} a day ({rate.low:.2g} to {rate.high:.2g}), "
        f"{rate.counted} in {rate.hours:.0f} h of the last {rate.days} day{'s' if rate.days != 1 else ''}"
    )
    promise = "nothing is promised" if rate.promised is None else f"promised {rate.promised:.2g} a day"
    bound = f"; {rate.unlabelled} not labelled, which may have been right" if rate.unlabelled else ""
    return f"{said}; {promise}{bound}"
