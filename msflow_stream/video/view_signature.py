"""The view of a fixed camera, small and without what passes, and how far another view of it is moved.

A view is the median of small grey images that were taken far apart: what passes is in few of them. Two views are
compared by the directions of their edges, block by block, as light and contrast change an edge's strength but not its
direction. Each block finds itself in the other view; one shift, turn and zoom that most blocks agree on is a camera
that was moved. A lorry, a crowd or a shadow spoils the blocks that it covers; it does not move the others.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.types import Image, Pixels
from msflow_stream.video.motion import Grey, grey

SIZE = (128, 192)  # height, width
BLOCK, STRIDE, REACH = 32, 16, 16  # pixels: of a block, between two, and as far as one is looked for
FAINT_EDGE = 6.0  # grey levels per pixel; what is fainter is noise
TEXTURED = 0.08  # of a block's pixels are edges: then it can be found
ALIKE = 0.45  # normalised correlation of a block with where it is found
NEAR = 1.0  # pixels: so well a block agrees with a movement
LEAST_BLOCKS = 8
MOST_AGREE = 0.5  # of the blocks that are found
LEAST_GAIN = 0.25  # of the blocks that are found: so many more agree with a movement than with none
LEAST_MOVE = 0.008  # of the view's width, on average over it: 1.5 pixels
FOREIGN = 0.15  # of the blocks are found, where as many have edges as before: it is another view
IMAGES = 15  # that a median is made of, up to twice as many
QUALITY = 90  # of the JPEG that keeps it

Verdict = Literal["still", "moved", "unknown"]


@dataclass(frozen=True, slots=True)
class Movement:
    """How a view compares with an earlier one.

    Attributes:
        verdict: unknown where it cannot be told: too dark, fog, or most of it is hidden.
        right, down: shift of the middle, as shares of the view's width.
        turn: degrees, clockwise as one looks at the image.
        zoom: 1 where it is as large as before.
        amount: the mean shift over the view, as a share of its width.
        agree: share of the blocks that were found that agree with the verdict.
        blocks: the number that were found.
        foreign: nearly nothing of the earlier view was found, although there is as much to see.
    """

    verdict: Verdict
    right: float = 0.0
    down: float = 0.0
    turn: float = 0.0
    zoom: float = 1.0
    amount: float = 0.0
    agree: float = 0.0
    blocks: int = 0
    foreign: bool = False


class View:
    """The view itself: a small grey image, uint8 of SIZE."""

    def __init__(self, image: Grey) -> None:
        self.image = image

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON has it: a JPEG in base64, some 6 KB."""
        ok, data = cv2.imencode(".jpg", self.image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        assert ok
        return {"jpeg": base64.b64encode(data.tobytes()).decode("ascii")}

    @classmethod
    def from_json(cls, content: Mapping[str, Any] | None) -> Self | None:
        """Returns what `to_json` gave; None for anything else."""
        try:
            data = base64.b64decode(str((content or {})["jpeg"]), validate=True)
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        except (KeyError, ValueError, TypeError, cv2.error):
            return None
        return cls(np.asarray(image, np.uint8)) if image is not None and image.shape == SIZE else None


class ViewCollector:
    """What a view is made of: images a while apart, of all of a span, however long it is.

    Args:
        seconds: between two images that are taken; more as the span goes on.
    """

    def __init__(self, seconds: float) -> None:
        self._first_seconds = self._seconds = seconds
        self._last = -float("inf")
        self._images: list[Grey] = []

    def add(self, time: float, pixels: Image | Pixels) -> None:
        """Takes a frame at `time` (seconds), if the one before is long enough ago."""
        if self.is_due(time):
            self.add_grey(time, grey(pixels))

    def is_due(self, time: float) -> bool:
        """Whether a frame at this time would be taken."""
        return not 0 <= time - self._last < self._seconds

    def add_grey(self, time: float, image: Grey) -> None:
        """Takes an image as `motion.grey` gives it."""
        self._last = time
        self._images.append(np.asarray(cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_AREA), np.uint8))
        if len(self._images) >= 2 * IMAGES:  # every second one is enough, now and from here on
            self._images = self._images[::2]
            self._seconds *= 2

    def view(self, least: int = 5) -> View | None:
        """Returns the view; None of fewer images than `least`."""
        if len(self._images) < least:
            return None
        return View(np.median(np.stack(self._images), axis=0).astype(np.uint8))

    def clear(self) -> None:
        """Forgets the images."""
        self._images.clear()
        self._seconds = self._first_seconds


def movement(before: View, now: View) -> Movement:
    """Returns how a view is moved from an earlier one of the same camera."""
    here, there, edges = _found_blocks(before, now)
    if len(here) < LEAST_BLOCKS:
        gone = edges >= 2 * LEAST_BLOCKS and len(here) < FOREIGN * edges
        return Movement("unknown", blocks=len(here), foreign=gone and 2 * _edge_share(now) > _edge_share(before))
    shifts = there - here
    still = float(np.mean(np.hypot(*shifts.T) < NEAR))
    fitted, _ = cv2.estimateAffinePartial2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=NEAR)
    if fitted is not None:
        agree = float(np.mean(np.hypot(*(here @ fitted[:, :2].T + fitted[:, 2] - there).T) < NEAR))
        moved = _movement(fitted, agree, len(here))
        if agree >= MOST_AGREE and agree >= still + LEAST_GAIN and moved.amount >= LEAST_MOVE:
            return moved
    if still >= MOST_AGREE:
        return Movement("still", agree=still, blocks=len(here))
    return Movement("unknown", agree=still, blocks=len(here))


def _movement(fitted: npt.NDArray[Any], agree: float, blocks: int) -> Movement:
    height, width = SIZE
    y, x = np.mgrid[0:height:5j, 0:width:7j]
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    shifts = points @ fitted[:, :2].T + fitted[:, 2] - points
    middle = np.array([width / 2, height / 2])
    right, down = (fitted[:, :2] @ middle + fitted[:, 2] - middle) / width
    turn, zoom = np.degrees(np.arctan2(fitted[1, 0], fitted[0, 0])), np.hypot(fitted[0, 0], fitted[1, 0])
    amount = float(np.hypot(*shifts.T).mean() / width)
    return Movement("moved", float(right), float(down), float(turn), float(zoom), amount, agree, blocks)


def _found_blocks(before: View, now: View) -> tuple[npt.NDArray[Any], npt.NDArray[Any], int]:
    """Blocks of a view and where they are now, each n x 2 (x, y), and the number of blocks with edges."""
    first, second = _directions(before.image), _directions(now.image)
    height, width = SIZE
    here, there, edges = [], [], 0
    for y in range(0, height - BLOCK + 1, STRIDE):
        for x in range(0, width - BLOCK + 1, STRIDE):
            block = first[y : y + BLOCK, x : x + BLOCK]
            if np.mean(np.abs(block).max(axis=2) > 0) < TEXTURED:
                continue
            edges += 1
            top, left = max(0, y - REACH), max(0, x - REACH)
            around = second[top : y + BLOCK + REACH, left : x + BLOCK + REACH]
            found = cv2.matchTemplate(around, block, cv2.TM_CCORR_NORMED)
            _, best, _, (column, row) = cv2.minMaxLoc(found)
            if best < ALIKE:
                continue
            sub_x, sub_y = _peak(found[row], column), _peak(found[:, column], row)
            here.append((x + BLOCK / 2, y + BLOCK / 2))
            there.append((left + sub_x + BLOCK / 2, top + sub_y + BLOCK / 2))
    return np.array(here, np.float64).reshape(-1, 2), np.array(there, np.float64).reshape(-1, 2), edges


def _directions(image: Grey) -> npt.NDArray[np.float32]:
    """H W 2: the direction of each edge as a vector of length 1; 0 where there is none.

    The vector has twice the edge's angle: an edge that is dark to bright by day and bright to dark under infrared light
    is the same.
    """
    right, down = _gradient(image)
    strength = np.hypot(right, down)
    limit = max(1.0, min(FAINT_EDGE, 1.5 * float(np.median(strength))))
    scale = np.where(strength > limit, 1 / np.maximum(strength, 1e-6) ** 2, 0)
    return np.dstack([(right * right - down * down) * scale, 2 * right * down * scale]).astype(np.float32)


def _gradient(image: Grey) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    right, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / 4, cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / 4
    return np.asarray(right, np.float32), np.asarray(down, np.float32)


def _edge_share(view: View) -> float:
    """The share of a view that has edges too strong for noise and fog."""
    return float(np.mean(np.hypot(*_gradient(view.image)) > FAINT_EDGE))


def _peak(values: npt.NDArray[Any], at: int) -> float:
    """Where a maximum lies between its neighbours, by a parabola through them."""
    if not 0 < at < len(values) - 1:
        return float(at)
    before, here, after = (float(value) for value in values[at - 1 : at + 2])
    bend = before - 2 * here + after
    return at if bend >= 0 else at + 0.5 * (before - after) / bend
