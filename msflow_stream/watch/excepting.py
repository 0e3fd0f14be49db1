"""The soft exceptions of a scene at work: what is normal at its place counts for less, if nothing else is there."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from msflow_stream.events.detection.reasons import UNUSUAL
from msflow_stream.events.detection.regions import MIN_REGION
from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.teaching.exception_place import Mask, looks_like, mask_of
from msflow_stream.teaching.exceptions import Exceptions, SoftException
from msflow_stream.types import FrameScore, PartName, ScoreKind, Scores, Why
from msflow_stream.video.drawing.overlay import OverlayStyle

if TYPE_CHECKING:
    from msflow_stream.scenes.scene import Scene  # which needs torch

LOOK_SECONDS = 1.0  # between two looks at the file
SPREAD = 1.25  # times what the event said: the same thing comes a little stronger, too
QUIET = 2.0  # seconds without it, after which it is there anew
RECENT, GRACE = 1.0, 0.6  # seconds since a part was like that of the event; from the first frame on


class Excepting:
    """The exceptions of one scene at one camera, for its scores in their order.

    A frame counts for less where everything that is unusual in it is at the place of an exception: every region, the
    place where it looks most unusual, and the one where it moves most unusually; but for a part that is elsewhere and
    would not matter by itself, which counts in full. What is taken off each part is what
    the event said of that part, so that a part that was normal still counts in full, and what is stronger alarms by
    what is left. Nothing is taken off where most of the view looks unusual, nothing off what stays for longer than the
    event did, and where the event both looked and moved unusually, nothing off what does one without the other. What
    is less unusual elsewhere counts for what it is by itself. Without exceptions the scores are those that came.

    Args:
        folder: the scene's folder.
        camera: the name of the camera.
        scene: the scene, whose joint score makes one of the parts.
        triggers: its triggers with the lowest thresholds that may be asked for.
        style: says which map values make regions.
        learnt: ids of events whose exceptions do not count, as the scene knows them.
    """

    def __init__(
        self,
        folder: Path,
        camera: str,
        scene: Scene,
        triggers: Sequence[Trigger],
        style: OverlayStyle,
        learnt: Collection[str] = (),
    ) -> None:
        self._learnt = learnt
        self._file, self._camera, self._joint = Exceptions(folder), camera, scene.joint
        self._level, self._elsewhere = style.middle, style.high
        self._triggers = {trigger.kind: trigger for trigger in triggers}
        self._least = {trigger.kind: trigger.release_level(scene.settings.event.leave) for trigger in triggers}
        self._looked, self._stamp = -math.inf, (0, 0)
        self._places: tuple[_Place, ...] = ()

    def __call__(self, score: FrameScore) -> FrameScore:
        """Returns a score as it counts."""
        self._look()
        if not self._places:
            return score
        now = score.wall or datetime.now(UTC)
        places = [place for place in self._places if now < place.exception.expires]
        if not places:
            return score
        scores = score.scores
        if any(scores.of(kind) >= least for kind, least in self._least.items()):
            scores, why = self._lessened(score, places)
            score = replace(score, scores=scores, why=why)
        return replace(score, excepted=tuple(box for place in places for box in place.exception.boxes))

    @property
    def entries(self) -> tuple[SoftException, ...]:
        """The exceptions of the camera, as they were read last."""
        return tuple(place.exception for place in self._places)

    def _look(self) -> None:
        """Reads the file again where it has changed, and where it is time to look."""
        now = monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            state = self._file.path.stat()
            stamp = state.st_mtime_ns, state.st_ino
        except OSError:
            stamp = (0, 0)
        if stamp == self._stamp:
            return
        self._stamp, known = stamp, {place.exception.id: place for place in self._places}
        entries = [one for one in self._file.entries if one.camera == self._camera and one.event not in self._learnt]
        same = (known.get(one.id) for one in entries)
        self._places = tuple(
            place if place is not None and place.exception == one else _Place(one)
            for one, place in zip(entries, same, strict=True)
        )

    def _lessened(self, score: FrameScore, places: Sequence[_Place]) -> tuple[Scores, Why | None]:
        """Returns the scores and parts of a frame in which something is unusual."""
        hot = _above(score.map, self._level)
        smallest = max(1.0, MIN_REGION * hot.size)
        there = [place for place in places if place.notes(score.time, hot, smallest)]
        scores, why = score.scores, score.why
        if not there or (why is not None and why.looks == "view" and why.appearance >= UNUSUAL):
            return scores, why
        outside = ~np.logical_or.reduce([place.mask(hot.shape) for place in there])
        left = _kth_largest(score.map[outside], int(smallest))
        if left > (self._level if self._joint is None else self._elsewhere):
            return scores, why
        row, column = divmod(int(score.map.argmax()), hot.shape[1])
        looks = (column / hot.shape[1], row / hot.shape[0]) if why is None else (why.x, why.y)
        moves = None if why is None or why.moved is None else (why.moved.x, why.moved.y)
        looking, moving = _at(there, looks, hot.shape), _at(there, moves, hot.shape)
        for place in there:
            place.meets(score.time, why, place in looking, place in moving)
        if not looking and (why is None or self._matters_alone(scores, why, "appearance")):
            return scores, why  # it looks most unusual elsewhere
        if not moving and why is not None and self._matters_alone(scores, why, "motion"):
            return scores, why  # it moves most unusually elsewhere
        return self._less(
            score, left, *([one.exception for one in ones if one.counts(score.time)] for ones in (looking, moving))
        )

    def _matters_alone(self, scores: Scores, why: Why, part: PartName) -> bool:
        """Returns whether a part of a frame matters to a detector by itself; what does not is normal elsewhere."""
        appearance, motion = why.appearance, why.motion
        if (appearance if part == "appearance" else motion or 0.0) < UNUSUAL:
            return False
        alone = Why(0.0, motion, 0.0) if part == "motion" else Why(appearance, None if motion is None else 0.0, 0.0)
        if self._joint is not None and self._joint.combined(alone) >= self._least.get("combined", math.inf):
            return True
        kinds = [kind for kind in self._least if kind != "combined" and (kind == "motion") == (part == "motion")]
        return any(scores.of(kind) >= self._least[kind] for kind in kinds)

    def _less(
        self, score: FrameScore, left: float, looking: Sequence[SoftException], moving: Sequence[SoftException]
    ) -> tuple[Scores, Why | None]:
        """Returns scores and parts with what exceptions take off, but not below what is elsewhere."""
        scores, why = score.scores, score.why
        if why is not None and self._joint is not None:
            appearance, motion = why.appearance, why.motion
            appearance = max(0.0, appearance - SPREAD * max((one.appearance for one in looking), default=0.0))
            if motion is not None:
                motion = max(0.0, motion - SPREAD * max((one.motion for one in moving), default=0.0))
            why = why._replace(appearance=appearance, motion=motion)
            elsewhere = self._joint.combined(
                Why(left, None if motion is None else 0.0, 0.0)
            )  # a map holds both parts, added up
            scores = scores._replace(combined=min(scores.combined, max(self._joint.combined(why), elsewhere)))
        for kind, trigger in self._triggers.items():
            if kind != "combined":
                value = _less_of(scores.of(kind), kind, trigger, moving if kind == "motion" else looking)
                scores = scores._replace(**{kind: value})
        return scores, why


class _Place:
    """An exception, and since when something is at its place."""

    def __init__(self, exception: SoftException) -> None:
        self.exception = exception
        self._masks: dict[tuple[int, ...], Mask] = {}
        self._since = self._last = self._looked = self._moved = -math.inf

    def mask(self, size: tuple[int, ...]) -> Mask:
        """Returns its pixels in a map of a size."""
        if size not in self._masks:
            self._masks = {size: mask_of(self.exception.boxes, (size[0], size[1]))}
        return self._masks[size]

    def notes(self, time: float, hot: Mask, smallest: float) -> bool:
        """Notes an unusual frame and its regions; true if something is at the place, and not for too long."""
        if np.count_nonzero(hot & self.mask(hot.shape)) < smallest:
            return False
        if not 0 <= time - self._last <= QUIET:
            self._since = time
        self._last = time
        return time - self._since <= self.exception.seconds

    def meets(self, time: float, why: Why | None, looks: bool, moves: bool) -> None:
        """Notes what looks most unusual, and what moves most unusually, if that is at the place."""
        if looks and why is not None and looks_like(why.appearance, self.exception.appearance):
            self._looked = time
        if moves and why is not None and looks_like(why.motion or 0.0, self.exception.motion):
            self._moved = time

    def counts(self, time: float) -> bool:
        """Returns whether what is there can be the same: where the event both looked and moved so, it does both.

        It may move without looking so for as long as the event did, and a little more: a cart that is half hidden.
        """
        if not self.exception.appearance or not self.exception.motion or time - self._since <= GRACE:
            return True
        looked = max(self._looked, self._since - RECENT + GRACE)
        return time - self._moved <= RECENT and time - looked <= RECENT + SPREAD * self.exception.unseen


def _above(heat: npt.NDArray[np.float16], level: float) -> Mask:
    """Returns where a map is above a level, at or above 0."""
    # Floats from 0 on are in the order of their bits, which numpy compares a hundred times faster; others are below.
    return np.asarray(np.ascontiguousarray(heat).view(np.int16) > np.float16(max(0.0, level)).view(np.int16))


def _kth_largest(heat: npt.NDArray[np.float16], count: int) -> float:
    """Returns the value that so many of a map's are as large as; 0 where there are not so many."""
    if len(heat) < count:
        return 0.0
    bits = np.partition(heat.view(np.int16), -count)[-count]
    return float(bits.view(np.float16))


def _at(places: Sequence[_Place], point: tuple[float, float] | None, size: tuple[int, ...]) -> list[_Place]:
    """Returns the places that a point (x, y, as shares) is in."""
    if point is None:
        return []
    row, column = min(size[0] - 1, int(point[1] * size[0])), min(size[1] - 1, int(point[0] * size[1]))
    return [place for place in places if place.mask(size)[row, column]]


def _less_of(value: float, kind: ScoreKind, trigger: Trigger, here: Sequence[SoftException]) -> float:
    """Returns a score without what exceptions take off, but not below what is normal."""
    normal = trigger.normal if trigger.normal is not None else 0.0
    most = max((one.peaks.get(kind, normal) for one in here), default=normal)
    if not value > normal or not most > normal:
        return value
    return max(normal, value - SPREAD * (most - normal))
