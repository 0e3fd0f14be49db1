"""The motion that is normal in a scene: how fast things move at every place, in every direction."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.types import Frame, Motion
from msflow_stream.video.motion import PLACES, grey, motion_field

Floats = npt.NDArray[np.float32]

DIRECTIONS = 16
ANGLES = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
UNIT_VECTORS = np.stack([np.cos(ANGLES), np.sin(ANGLES)]).astype(np.float32)  # 2 x DIRECTIONS
REACH = (0.25, 0.4)  # of the height and the width: places that far away say what is normal at one, ever less
SUPPORT = 20.0  # sightings of motion that the scene as a whole counts for at every place
SHARE = 0.1  # of the scene's speed that is normal in any direction
STILL = 0.003  # widths per second: what is slower does not move
SLOW = 0.01  # widths per second: the speed of a scene is no less
TOP = 0.005  # of the places make the score
UNUSUAL = 0.5  # of what normal footage does not exceed: faster places make a blob
GAP = 2  # places around a blob that are its, too: what moves is blurred, and may be in pieces
SIZES = 22  # kinds of size of a blob, each of the root of two times as many places as the one before


class MotionMeasure(NamedTuple):
    """The unusualness of one frame's motion.

    Attributes:
        score: mean of the largest values of the map.
        map: PLACES, speed in units of what is normal there in that direction; 0 where nothing moves.
        moved: the most unusual motion; None where nothing moves.
    """

    score: float
    map: Floats
    moved: Motion | None


class TaughtMotion(NamedTuple):
    """Motion that people labelled normal: what moves so and is as large is usual there, and nothing else.

    Attributes:
        usual: PLACES x DIRECTIONS, in image widths per second; 0 where nothing was taught.
        sizes: PLACES x SIZES, whether a blob of that size belongs there.
    """

    usual: Floats
    sizes: npt.NDArray[np.bool_]


class MotionModel:
    """The speed that is normal at every place of a view in every direction, the root of a mean square.

    A velocity is measured by its component in each direction, in units of what is normal there; the largest counts. So
    what is twice as fast lies twice as far out, the wrong way is unusual at any speed, and standing still never is.
    What is normal at a place is learnt from the places around it too, the nearer the more, and where little was seen
    from the whole scene: perspective is followed, and no place is judged by a handful of frames.

    Args:
        usual: PLACES x DIRECTIONS, in image widths per second, above 0.
        most: value of the score that normal footage does not exceed, for words.
        taught: what people labelled normal; None: nothing.
    """

    def __init__(self, usual: Floats, most: float = 1.0, taught: TaughtMotion | None = None) -> None:
        self.usual, self.most, self.taught = usual, most, taught

    def measure(self, field: Floats, area: npt.NDArray[np.bool_] | None = None) -> MotionMeasure:
        """Returns how unusual a motion field (PLACES x 3) is.

        Args:
            field: as `motion_field` returns it.
            area: PLACES, those that count; all if None.
        """
        speeds = speeds_of(field)
        heat = self._unusual(speeds)
        if area is not None:
            heat *= area
        if self.taught is not None:
            heat = self._as_taught(self.taught, speeds, heat)
        count = max(1, int(TOP * heat.size))
        score = float(np.partition(heat.ravel(), -count)[-count:].mean())
        return MotionMeasure(score, heat, self._moved(field, heat))

    def blobs(self, speeds: Floats) -> Floats:
        """Returns how large what moves is at every place (PLACES), in places that are unusually fast together.

        Args:
            speeds: PLACES x DIRECTIONS, as `speeds_of` returns them.
        """
        return self._blobs(self._unusual(speeds))

    def _unusual(self, speeds: Floats) -> Floats:
        return np.asarray((speeds / self.usual).max(-1), np.float32)

    def _blobs(self, heat: Floats) -> Floats:
        fast = (heat > UNUSUAL * self.most).astype(np.uint8)
        near = cv2.dilate(fast, np.ones((2 * GAP + 1, 2 * GAP + 1), np.uint8))
        count, labels = cv2.connectedComponents(near)
        sizes = np.bincount(labels.ravel(), fast.ravel(), count)
        sizes[0] = 0  # what is no blob
        return np.asarray(sizes[labels], np.float32)

    def _as_taught(self, taught: TaughtMotion, speeds: Floats, heat: Floats) -> Floats:
        """The unusualness, where what moves by a taught way is as large as what was taught: no more than that was."""
        sizes = self._blobs(heat)
        kinds = np.take_along_axis(taught.sizes, size_kinds(sizes)[..., None], -1)[..., 0]
        known = (speeds / np.maximum(self.usual, taught.usual)).max(-1)
        return np.where(kinds & (sizes > 0), known, heat)

    def _moved(self, field: Floats, heat: Floats) -> Motion | None:
        row, column = np.unravel_index(int(heat.argmax()), heat.shape)
        ratio, (right, down, share) = float(heat[row, column]), field[row, column].tolist()
        if ratio <= 0 or share <= 0:
            return None
        right, down = right / share, down / share
        limit = float(np.hypot(right, down)) * self.most / ratio
        return Motion(right, down, limit, (column + 0.5) / PLACES[1], (row + 0.5) / PLACES[0])


def motion_of(frame: Frame) -> Floats | None:
    """Returns the motion field of a frame (PLACES x 3); None where what moved is not known."""
    if frame.earlier is None:
        return None
    height, width = frame.shape[:2]
    return motion_field(grey(frame.pixels), frame.earlier, height / width)


class MotionFit:
    """The motion of normal frames, added up; frames may come in any order."""

    def __init__(self) -> None:
        self._squares = np.zeros((*PLACES, DIRECTIONS))
        self._fastest = np.zeros(PLACES)  # squares of the speed in the fastest direction, added up
        self._seen = np.zeros(PLACES)
        self.frames = 0

    def add(self, field: Floats) -> None:
        """Adds the motion field (PLACES x 3) of a normal frame."""
        speeds = speeds_of(field)
        fastest = speeds.max(-1)
        self._squares += np.square(speeds)
        self._fastest += np.square(fastest)
        self._seen += fastest > STILL
        self.frames += 1

    def model(self) -> MotionModel:
        """Returns what is normal; in a scene in which nothing moved, hardly anything."""
        seen = self._seen.sum()
        scene = self._fastest.sum() / seen if seen else 0.0  # mean square
        near = 2 * np.pi * REACH[0] * PLACES[0] * REACH[1] * PLACES[1]  # so many places, by their weights
        support = near * _spread(self._seen)[..., None] + SUPPORT
        squares = near * np.stack([_spread(one) for one in np.moveaxis(self._squares, -1, 0)], -1)
        usual = np.sqrt((squares + SUPPORT * scene) / support) + SHARE * max(float(np.sqrt(scene)), SLOW)
        return MotionModel(usual.astype(np.float32))


def size_kinds(sizes: Floats) -> npt.NDArray[np.int64]:
    """Returns which of the SIZES blobs of so many places are."""
    return np.asarray(np.minimum(2 * np.log2(np.maximum(sizes, 1)), SIZES - 1), np.int64)


def speeds_of(field: Floats) -> Floats:
    """Returns the speed in every direction (PLACES x DIRECTIONS) of a motion field (PLACES x 3), 0 or more."""
    return np.asarray(np.maximum(_velocities(field) @ UNIT_VECTORS, 0.0), np.float32)


def _velocities(field: Floats) -> Floats:
    """PLACES x 2: of the pixels that moved where they are many, the less the fewer they are."""
    return np.asarray(field[..., :2] * (2 / (1 + field[..., 2:])), np.float32)


def _spread(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A mean over all places (PLACES), by a bell of REACH around each."""
    height, width = PLACES
    return np.asarray(
        cv2.GaussianBlur(
            values,
            (2 * width - 1, 2 * height - 1),
            sigmaX=REACH[1] * width,
            sigmaY=REACH[0] * height,
            borderType=cv2.BORDER_CONSTANT,
        )
    )
