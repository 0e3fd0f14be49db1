"""What footage covers: how long it is, of which hours, how bright, and how much moves in it; and what it lacks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Self

from msflow_stream.types import Frame
from msflow_stream.video.motion import changed_share, grey

BRIGHTNESS_BINS = 16  # of equal width, of the mean grey level of a frame, 0 to 255
MOTION_BOUNDS = (0.0005, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # shares of the view; below the first, nothing moves
STEP = 0.5  # seconds between two frames that are looked at; more would tell the same
MOST_STEP = 5.0  # seconds that a frame stands for: what is longer is a gap
LEAST_SECONDS = 600.0
DARK = 48  # grey levels; a street at night is darker, a room by day is not
RARELY, MOSTLY = 0.02, 0.98  # of the seconds
BUSY = 0.05  # of the seconds something moves: then there was something to learn
PARTS_OF_DAY = {"the night": (22, 23, 0, 1, 2, 3, 4, 5), "the morning": range(6, 12), "the afternoon": range(12, 18)}
PARTS_OF_DAY |= {"the evening": range(18, 22)}


class Coverage:
    """What some footage covers, in seconds. Frames are added by one thread; others may look.

    Attributes:
        seconds: of footage, without gaps.
        hours: seconds of each hour of the day, by the clock of the machine; of frames that say when they came.
        brightness: seconds by mean grey level, in BRIGHTNESS_BINS of equal width.
        motion: seconds by the share of the view that moves: below the first of MOTION_BOUNDS, and above each.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.hours = [0.0] * 24
        self.brightness = [0.0] * BRIGHTNESS_BINS
        self.motion = [0.0] * (len(MOTION_BOUNDS) + 1)
        self._last: tuple[str, float] | None = None  # source and time of the frame that was looked at last

    def add(self, frame: Frame) -> None:
        """Counts a frame, in the order of its source; of those that follow soon after one another not all are seen."""
        source, before = self._last or (frame.source, None)
        elapsed = None if before is None or source != frame.source else frame.time - before
        if elapsed is not None and 0 <= elapsed < STEP:
            return
        self._last = (frame.source, frame.time)
        if elapsed is None or not 0 < elapsed <= MOST_STEP:
            return  # the first one, and one after a gap, stand for no time
        small = grey(frame.pixels)
        self.seconds += elapsed
        self.brightness[min(int(small.mean()) * BRIGHTNESS_BINS // 256, BRIGHTNESS_BINS - 1)] += elapsed
        if frame.wall is not None:
            self.hours[frame.wall.astimezone().hour] += elapsed
        if frame.earlier is not None:
            self.motion[bisect_right(MOTION_BOUNDS, changed_share(small, frame.earlier))] += elapsed

    def interrupt(self) -> None:
        """Has the next frame stand for no time: what came before it does not count."""
        self._last = None

    def missing(self) -> list[str]:
        """Returns what should be recorded too, in words for a person; nothing where nothing is missing."""
        if not self.seconds:
            return ["nothing is recorded yet"]
        said = []
        if self.seconds < LEAST_SECONDS:
            said.append("less than ten minutes so far: half an hour or more tells better what is usual")
        dark = sum(self.brightness[: DARK * BRIGHTNESS_BINS // 256]) / self.seconds
        if dark < RARELY and not self._seen(PARTS_OF_DAY["the night"]):
            said.append("no frames after dark yet")
        elif dark > MOSTLY:
            said.append("only dark frames so far: include daylight")
        absent = [name for name, hours in PARTS_OF_DAY.items() if not self._seen(hours)]
        if sum(self.hours) and absent:
            said.append(f"nothing from {_listed(absent)} yet")
        if moving := self.moving:
            if moving < BUSY:
                said.append("little moves so far: include a busy hour")
            elif moving > MOSTLY:
                said.append("something moves all the time so far: include a quiet hour")
        elif moving is not None:
            said.append("nothing moves so far: include a busy hour")
        return said

    @property
    def moving(self) -> float | None:
        """The share of the seconds in which something moves; None where no frame tells."""
        told = sum(self.motion)
        return 1 - self.motion[0] / told if told else None

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON has it."""
        names = ("hours", "brightness", "motion")
        return {"seconds": round(self.seconds, 2)} | {
            name: [round(value, 2) for value in getattr(self, name)] for name in names
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Returns what `to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        found = cls()
        try:
            found.seconds = float(content["seconds"])
            for name in ("hours", "brightness", "motion"):
                values = [float(value) for value in content[name]]
                if len(values) != len(getattr(found, name)):
                    raise ValueError(f"{name} has {len(values)} values")
                setattr(found, name, values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no coverage of footage: {error}") from None
        return found

    def _seen(self, hours: Sequence[int]) -> bool:
        return any(self.hours[hour] for hour in hours)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
