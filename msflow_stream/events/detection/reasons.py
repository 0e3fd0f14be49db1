"""What was unusual in a frame, in words: how fast what moved where and whither, or how rare what looks so is."""

from __future__ import annotations

import math
import sys

from msflow_stream.types import FrameScore, Motion, PartName, Reason, Why

UNUSUAL = 2.0  # -log10 of a probability: what one normal frame in a hundred shows is normal
MOST_RARE = 6.0  # beyond one in a million the tail says no more than that
LEAST_SPEED = 0.001  # widths per second: what is slower is told as this
DIRECTIONS = (
    "to the right",
    "to the lower right",
    "downwards",
    "to the lower left",
    "to the left",
    "to the upper left",
    "upwards",
    "to the upper right",
)
PLACES = (
    ("at the upper left", "at the top", "at the upper right"),
    ("at the left", "in the middle", "at the right"),
    ("at the lower left", "at the bottom", "at the lower right"),
)


class Parts:
    """The parts of the combined score that an event has, each with its most unusual frame.

    Attributes:
        names: the part that said most in the first frame, then those that reached the threshold by themselves.
    """

    def __init__(self) -> None:
        self.names: list[PartName] = []
        self._reasons: dict[PartName, tuple[float, Reason]] = {}

    @property
    def reason(self) -> Reason | None:
        """What was most unusual so far of what triggered the event; None where nothing is known of it."""
        return self._reasons[self.names[0]][1] if self.names else None

    def add(self, score: FrameScore, threshold: float) -> None:
        """Adds a frame with activity, of a combined score that is compared with that threshold."""
        why = score.why
        if why is None or math.isnan(why.appearance):
            return
        values: dict[PartName, float] = {why.looks: why.appearance}
        if why.motion is not None:
            values["motion"] = why.motion
        for name in sorted(values, key=lambda name: name != why.trigger):
            if name not in self.names and (values[name] >= threshold or not self.names):
                self.names.append(name)
            if name in self.names and values[name] > self._reasons.get(name, (-math.inf,))[0]:
                self._reasons[name] = values[name], reason_of(score, why, name)


def reason_of(score: FrameScore, why: Why, trigger: PartName) -> Reason:
    """Returns what was unusual in a frame, first the part that triggered."""
    moved = why.moved
    at = (moved.x, moved.y) if trigger == "motion" and moved is not None else (why.x, why.y)
    return Reason(
        text=wording(why, trigger),
        trigger=trigger,
        index=score.index,
        time=score.time,
        appearance=_finite(why.appearance),
        motion=None if why.motion is None else _finite(why.motion),
        view=why.view,
        place=place(*at),
        at=at,
        direction=None if moved is None else direction(moved.right, moved.down),
        velocity=None if moved is None else (moved.right, moved.down),
        speed=None if moved is None else moved.speed,
        limit=None if moved is None else moved.limit,
    )


def wording(why: Why, trigger: PartName) -> str:
    """Returns the parts in words, the one that triggered first.

    >>> moved = Motion(right=-0.11, down=0.0, limit=0.032, x=0.1, y=0.9)
    >>> wording(Why(appearance=0.5, motion=6.0, view=0.0, moved=moved), "motion")
    'moved at 0.11 widths/s where normal is at most 0.032, to the left, at the lower left; appearance normal'
    """
    if trigger == "motion":
        looks = "appearance normal" if why.appearance < UNUSUAL else _looks(why, why.looks)
        return f"{_moves(why)}; {looks}"
    return f"{_looks(why, trigger)}; {_motion(why)}"


def direction(right: float, down: float) -> str:
    """Returns the nearest of eight directions in the image."""
    return DIRECTIONS[round(math.atan2(down, right) / (math.pi / 4)) % 8]


def place(x: float, y: float) -> str:
    """Returns the part of the image, of nine, that a place lies in; x and y are shares of its width and height."""
    row, column = (min(2, max(0, int(3 * share))) for share in (y, x))
    return PLACES[row][column]


def rarity(surprisal: float) -> str:
    """Returns how rare a normal frame of that -log10 of a probability is.

    >>> rarity(4.3)
    'as rare as 1 in 20 000 normal frames'
    """
    if surprisal > MOST_RARE:
        return "rarer than 1 in a million normal frames"
    frames = float(f"{10**surprisal:.2g}")
    return f"as rare as 1 in {f'{frames:,.0f}'.replace(',', ' ')} normal frames"


def _looks(why: Why, part: PartName) -> str:
    if part == "view":
        return "most of the view looks unusual (covered, moved or dark?)"
    return f"looks unusual {place(why.x, why.y)} ({rarity(why.appearance)})"


def _motion(why: Why) -> str:
    if why.motion is None:
        return "motion not known"
    return "motion normal" if why.motion < UNUSUAL else _moves(why)


def _moves(why: Why) -> str:
    if why.moved is None:
        return "moved"
    return f"moved at {_pace(why.moved)}, {direction(*why.moved[:2])}, {place(why.moved.x, why.moved.y)}"


def _pace(moved: Motion) -> str:
    speed, limit = (f"{max(value, LEAST_SPEED):.2g}" for value in (moved.speed, moved.limit))
    normal = f"normal is at most {limit}" if moved.speed > moved.limit else f"up to {limit} is normal"
    return f"{speed} widths/s where {normal}"


def _finite(value: float) -> float:
    """The value, or the largest that JSON can hold."""
    return min(value, sys.float_info.max)
