"""The daily facts of a watched camera, on disk: what drift is told from. It looks at a frame every few seconds."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import numpy as np

from msflow_stream.series import SmoothedScore
from msflow_stream.stream.threads import ThreadedQueue
from msflow_stream.teaching.drift.days import QUANTILES, Day, HourFacts, remove_old
from msflow_stream.types import Frame, ScoreRow
from msflow_stream.video.coverage import BRIGHTNESS_BINS, MOST_STEP
from msflow_stream.video.motion import changed_share, grey
from msflow_stream.video.view_signature import ViewCollector
from msflow_stream.watch.outputs.activity import WatchedAs
from msflow_stream.watch.outputs.sink import arrival

SCORES_EVERY = 1.0  # seconds between two scores that count in the quantiles
LIGHT_EVERY = 5.0  # seconds between two frames that are looked at
VIEW_EVERY = 120.0  # seconds between two images of a view
FLUSH_EVERY = 300.0  # seconds; a kill loses so much at most
CAPACITY = 4  # days that wait to be written


class DayLog:
    """A sink with the facts of a camera's days, in its folder `days`. What is slow to write delays nobody.

    Args:
        folder: the folder of the camera.
        name: name of the camera.
        after: called when a day was written, with the name of the scene, by the thread that writes.
    """

    def __init__(self, folder: Path, name: str, after: Callable[[str], None] = lambda scene: None) -> None:
        self._folder, self._after = folder, after
        self._day: Day | None = None
        self._hour: HourFacts | None = None
        self._failed = 0
        self._last = self._flushed = self._scored = self._lit = -math.inf
        self._alarm = False
        self._scores: list[float] = []
        self._motions: list[float] = []
        self._view = ViewCollector(VIEW_EVERY)
        self._queue: ThreadedQueue[Day] = ThreadedQueue(self._save, lambda: None, f"{name} days", CAPACITY, False)

    @property
    def losses(self) -> Mapping[str, int]:
        """Times that the facts could not be written, by cause."""
        return {"disk": self._failed, **self._queue.dropped}

    def write(self, frame: Frame, shown: Frame, scored: SmoothedScore, row: ScoreRow, watched: WatchedAs) -> None:
        """Counts a scored frame; `shown` is it without what nobody may see, of which alone the view is made."""
        moment = arrival(scored.score).astimezone()
        now = moment.timestamp()
        hour = self._hour_of(moment, watched)
        elapsed = now - self._last
        self._last = now
        if 0 < elapsed <= MOST_STEP:
            hour.seconds += elapsed
        hour.alarms += bool(row.alarm) and not self._alarm
        self._alarm = bool(row.alarm)
        value = scored.smoothed[watched.kind]
        if not 0 <= now - self._scored < SCORES_EVERY and math.isfinite(value):
            self._scored = now
            self._scores.append(value)
        if not 0 <= now - self._lit < LIGHT_EVERY:
            self._look(frame, shown, now, hour)
        if not 0 <= now - self._flushed < FLUSH_EVERY:
            self._flush(now)

    def _hour_of(self, moment: datetime, watched: WatchedAs) -> HourFacts:
        """Returns the facts that a moment belongs to; those before are finished when it is another hour."""
        today = moment.date()
        key = (moment.hour, watched.scene, watched.fit, watched.kind)
        if self._day is None or self._day.date != today:
            self._flush(moment.timestamp())
            self._day, self._hour = Day.read(self._folder, today), None
        hour = self._hour
        if hour is None or (hour.hour, hour.scene, hour.fit, hour.kind) != key:
            self._flush(moment.timestamp())
            hour = self._hour = HourFacts(*key)
            self._day.hours.append(hour)
            self._scores, self._motions = [], []
            self._view.clear()
        return hour

    def _look(self, frame: Frame, shown: Frame, now: float, hour: HourFacts) -> None:
        elapsed = now - self._lit
        self._lit = now
        small = grey(frame.pixels)
        if 0 < elapsed <= 2 * LIGHT_EVERY:
            hour.brightness[min(int(small.mean()) * BRIGHTNESS_BINS // 256, BRIGHTNESS_BINS - 1)] += elapsed
        if frame.earlier is not None:
            self._motions.append(changed_share(small, frame.earlier))
        if self._view.is_due(now):
            self._view.add_grey(now, small if shown is frame else grey(shown.pixels))

    def _flush(self, now: float) -> None:
        """Has what is known be written."""
        self._flushed = now
        day, hour = self._day, self._hour
        if day is None or hour is None:
            return
        if self._scores:
            hour.scores = [round(float(one), 5) for one in np.quantile(self._scores, QUANTILES)]
        if self._motions:
            hour.motion = round(float(np.mean(self._motions)), 5)
        if (view := self._view.view()) is not None:
            hour.view = view.to_json()
        hour.seconds = round(hour.seconds, 2)
        hour.brightness = [round(one, 1) for one in hour.brightness]
        self._queue.put(copy.deepcopy(day))

    def _save(self, day: Day) -> None:
        try:
            new = not day.hours[:-1]
            day.write(self._folder)
            if new:
                remove_old(self._folder, day.date)
        except OSError:  # a full disk: the next one has the same and more
            self._failed += 1
            return
        self._after(day.hours[-1].scene)

    def close(self, timeout: float) -> None:
        """Writes what is known, within so many seconds; twice is fine."""
        if self._last > self._flushed:
            self._flush(self._last)
        self._queue.close(timeout)
