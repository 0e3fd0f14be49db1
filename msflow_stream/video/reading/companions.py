"""The companions of frames: what a source showed about a tenth of a second before, against which motion is seen."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from av.video.frame import VideoFrame

from msflow_stream.types import Earlier
from msflow_stream.video.motion import grey
from msflow_stream.video.pixels import DecodedPixels
from msflow_stream.video.reading.colour import FrameConverter, displayed_size

# 0.075 and 0.25 s, and 2 ms beyond, so that rounded timestamps choose as exact ones.
LEAST, MOST = Fraction(73, 1000), Fraction(252, 1000)


class CompanionRule:
    """The choice of a frame's companion: the newest frame that is old enough, unless it is too old.

    Two frames before at 25 frames/s, three at 30, one at 10.

    Attributes:
        tick: seconds per tick of the times.
        least, most: ticks that it is older, at least and at most.
    """

    def __init__(self, tick: Fraction) -> None:
        self.tick, self.least, self.most = tick, ceil(LEAST / tick), floor(MOST / tick)

    def find(self, times: Sequence[int], time: int) -> int | None:
        """Returns the place of the companion of a frame at `time` among frames at `times`, ascending, in ticks."""
        place = bisect_right(times, time - self.least) - 1
        return place if place >= 0 and time - times[place] <= self.most else None

    def seconds(self, ticks: int) -> float:
        """Returns ticks as seconds."""
        return float(ticks * self.tick)


class Companion(NamedTuple):
    """A decoded frame, and how many seconds it is older than the one that it is the companion of."""

    frame: VideoFrame
    seconds: float

    def earlier(self, converter: FrameConverter) -> Earlier:
        """Returns it small and grey."""
        return Earlier(grey(DecodedPixels(self.frame, converter)), self.seconds)


class CompanionFinder:
    """Finds the companions of one source's frames, in display order; holds no more frames than may become one."""

    def __init__(self, tick: Fraction, parts: Sequence[int] = ()) -> None:
        """Prepares.

        Args:
            tick: seconds per tick of the frames' times.
            parts: times at which the source begins anew, so that nothing before is seen from behind; it may grow.
        """
        self._rule, self._parts = CompanionRule(tick), parts
        self._times: list[int] = []
        self._frames: list[VideoFrame | None] = []

    def add(self, time: int | None, frame: VideoFrame | None) -> Companion | None:
        """Takes the next frame and returns its companion.

        Args:
            time: in ticks; None where it is not known.
            frame: None where it is missing: what it would be the companion of has none.
        """
        if time is None or (self._times and time <= self._times[-1]):  # no order to go by
            self._times, self._frames = [], []
        if time is None:
            return None
        frame = None if frame is None or frame.is_corrupt else frame
        place = self._rule.find(self._times, time)
        companion = None if place is None or frame is None else self._companion(place, time, frame)
        self._times.append(time)
        self._frames.append(frame)
        # The newest that is old enough is so for what comes, too, until a newer one is.
        needless = max(0, bisect_right(self._times, time - self._rule.least) - 1)
        del self._times[:needless], self._frames[:needless]
        return companion

    def _companion(self, place: int, time: int, frame: VideoFrame) -> Companion | None:
        found, its_time = self._frames[place], self._times[place]
        if found is None or displayed_size(found) != displayed_size(frame):
            return None
        if any(its_time < begin <= time for begin in self._parts):
            return None
        return Companion(found, self._rule.seconds(time - its_time))
