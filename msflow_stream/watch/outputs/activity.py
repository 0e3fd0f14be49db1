"""The activity of a watched camera, on disk: the frames that may matter to its detector, at other thresholds too."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.detection.sieve import ActivitySieve
from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.files import make_folder
from msflow_stream.series import SmoothedScore
from msflow_stream.stream.threads import ThreadedQueue
from msflow_stream.types import Frame, Image, Pixels, ScoreKind
from msflow_stream.watch.outputs.activity_file import ACTIVITY, ActivityFile, Kept, RunFacts
from msflow_stream.watch.outputs.sink import arrival

CAPACITY = 32  # frames that wait; the pixels of few of them
BURST_SECONDS = 30.0  # one that lasts longer has another thumbnail


@dataclass(frozen=True)
class WatchedAs:
    """The way in which a camera is watched: what its scores are of, and the lowest thresholds that may be asked for.

    Attributes:
        scene: name of the scene.
        fit: what tells its scores from those of another fit.
        area: the areas that are watched and ignored, as JSON.
        kind: the score that it is judged by.
        smoothing: seconds.
        level: map values above it make regions.
        settings: those of its detector.
        lowest: its triggers with the lowest thresholds.
    """

    scene: str
    fit: str
    area: str
    kind: ScoreKind
    smoothing: float
    level: float
    settings: EventSettings
    lowest: tuple[Trigger, ...]

    @property
    def facts(self) -> RunFacts:
        """The same as the file keeps it."""
        floors = json.dumps({trigger.kind: trigger.threshold for trigger in self.lowest})
        leave = self.settings.leave
        return RunFacts(self.scene, self.fit, self.area, self.kind, self.smoothing, leave, self.level, floors)

    def strikes(self, scored: SmoothedScore) -> float:
        """Returns how far a frame is above the lowest thresholds."""
        margins = [
            (scored.smoothed[trigger.kind] - trigger.threshold) / trigger.margin
            for trigger in self.lowest
            if not math.isnan(scored.smoothed[trigger.kind])
        ]
        return max(margins, default=-math.inf)


class ActivityLog:
    """A sink with the activity of one camera, in activity.db. What is slow to write delays nobody.

    Args:
        folder: the folder of the camera.
        name: name of the camera.
        lossless: nothing is left out; for files, which wait.
        keep_days: what is older is removed; None keeps it.

    Raises:
        UserError: the folder cannot be made.
    """

    def __init__(self, folder: Path, name: str, *, lossless: bool = False, keep_days: float | None = None) -> None:
        make_folder(folder)
        self._file = ActivityFile(folder / ACTIVITY, keep_days)
        self._queue: ThreadedQueue[Kept] = ThreadedQueue(
            self._file.write, self._file.close, f"{name} activity", CAPACITY, lossless
        )
        self._watched: WatchedAs | None = None
        self._run = self._burst = 0
        self._began, self._best = -math.inf, -math.inf  # of the burst

    @property
    def losses(self) -> Mapping[str, int]:
        """Frames that matter and are not in its output, by cause."""
        return {**self._file.losses, **self._queue.dropped}

    def write(self, frame: Frame, scored: SmoothedScore, watched: WatchedAs) -> None:
        """Adds a scored frame if it matters; another way of watching than before begins a run."""
        if watched is not self._watched:
            self._watched, self._sieve = watched, ActivitySieve(watched.lowest, watched.settings)
            self._run += 1
            self._facts = watched.facts
            self._began = self._best = -math.inf
        wall = arrival(scored.score).timestamp()
        for one in self._sieve.kept(scored):
            newest = one is scored
            active = newest and self._sieve.active
            pixels = self._thumbnail(frame, scored, watched) if active else None
            height, width = frame.shape[:2]
            arrived = wall if newest else min(wall, arrival(one.score).timestamp())
            self._queue.put(
                Kept(self._run, self._facts, arrived, one, (width, height), active, self._burst, pixels, self._lost)
            )
        if not self._sieve.active:
            self._began = self._best = -math.inf

    def _thumbnail(self, frame: Frame, scored: SmoothedScore, watched: WatchedAs) -> Image | Pixels | None:
        """Returns the pixels of a frame if it is the most striking one of its burst so far."""
        time = scored.score.time
        if time - self._began > BURST_SECONDS:
            self._began, self._best = time, -math.inf
            self._burst += 1
        strikes = watched.strikes(scored)
        if strikes <= self._best:
            return None
        self._best = strikes
        return frame.pixels

    @property
    def _lost(self) -> int:
        return sum(self.losses.values())

    def close(self, timeout: float) -> None:
        """Writes what waits, within so many seconds; twice is fine."""
        self._queue.close(timeout)
