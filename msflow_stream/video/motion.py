"""Motion: which way and how fast things move, from an image and the one a short moment earlier, both small and grey."""

from __future__ import annotations

from collections.abc import Callable
from threading import local
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.types import Earlier, Image, Pixels
from msflow_stream.video.pixels import shrink

Grey = npt.NDArray[np.uint8]  # h x w at MOTION_SIZE
Floats = npt.NDArray[np.float32]

MOTION_SIZE = (256, 384)  # height, width
CELL = 8  # pixels across a place
PLACES = (MOTION_SIZE[0] // CELL, MOTION_SIZE[1] // CELL)  # rows, columns
STEP = 4  # every so many pixels are enough for the statistics of a whole image
FAINT = 3.0  # grey levels that are no change, blurred over a pixel
NOISE = 4.0  # standard deviations of the camera's noise that are none either
MOST_NOISE = 12.0  # grey levels: what differs by more is no noise
EXPOSURE = 0.03  # of the brightness: a step that a passing thing does not make
MOST_GAIN = 2.5  # a larger step of brightness is no exposure, but a lens that is covered or a light
DARK = 10  # grey levels below which brightness has no ratio
SHAKEN = 0.03  # of the image changed: then the whole view may have moved
HELD = 0.5  # of that change explained by one shift of the whole view: then it has
UNKNOWN = 0.6  # of the image changed, whatever is made up for: what moved cannot be told


def grey(pixels: Image | Pixels) -> Grey:
    """Returns grey levels at MOTION_SIZE, stretched to it: the luma, where pixels have one."""
    return shrink(pixels, MOTION_SIZE).grey()


def motion_field(now: Grey, earlier: Earlier, aspect: float) -> Floats | None:
    """Returns what moved at every place: PLACES x 3, the velocity to the right and downwards, and the share that moved.

    Dense inverse search (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016) by OpenCV gives the
    flow, where it lies now. Only pixels that changed count: flow where nothing changed is noise. A step of brightness
    and a shift of the whole view are made up for first; what stays as it was under either is not moving, so that
    neither a shaken camera nor a lorry that fills the view makes the rest of it run.

    Args:
        now: the frame.
        earlier: the same view a short moment before.
        aspect: height of the source's frames by their width.

    Returns:
        Velocities in image widths per second, means over the pixels of a place and of its neighbours in which those
        that did not change count as 0. None where most of the view changed and no such reason explains it: a cut, a
        covered lens, a flash.
    """
    first, second = _equally_bright(earlier.image, now)
    shift, changed = np.zeros(2, np.float32), _changed(first, second)
    if not changed.any():
        return np.zeros((*PLACES, 3), np.float32)
    back = _search()(second, first)  # H W 2, pixels, to where things were
    if changed.mean() > SHAKEN:
        shift, changed = _steadied(first, second, back, changed)
    if changed.mean() > UNKNOWN:
        return None
    moving = cv2.dilate(changed, np.ones((5, 5), np.uint8))
    share = _by_place(moving.astype(np.float32))
    height, width = MOTION_SIZE
    unit = np.array([1 / width, aspect / height], np.float32) / np.float32(earlier.seconds)
    velocity = -(_by_place(cv2.copyTo(back, moving)) + shift * share[..., None]) * unit
    return np.dstack([velocity, share]).astype(np.float32)


def changed_share(now: Grey, earlier: Earlier) -> float:
    """Returns the share of the view that differs from a short moment before by more than noise and exposure."""
    return float(_changed(*_equally_bright(earlier.image, now)).mean())


def _by_place(values: npt.NDArray[Any]) -> Floats:
    """Means over the pixels of every place and its neighbours."""
    return np.asarray(cv2.blur(cv2.resize(values, PLACES[::-1], interpolation=cv2.INTER_AREA), (3, 3)), np.float32)


def _equally_bright(first: Grey, second: Grey) -> tuple[Grey, Grey]:
    """Both images as bright as the darker one, where their brightness differs by more than a passing thing makes it."""
    a, b = first[::STEP, ::STEP].astype(np.float32), second[::STEP, ::STEP].astype(np.float32)
    lit = (a > DARK) & (b > DARK) & (a < 250) & (b < 250)
    if lit.sum() < lit.size // 8:
        return first, second
    gain = float(np.median(b[lit] / a[lit]))
    if abs(gain - 1) < EXPOSURE or max(gain, 1 / gain) > MOST_GAIN:
        return first, second
    if gain < 1:
        return _scaled(first, gain), np.minimum(second, np.uint8(250 * gain))  # what was clipped is clipped alike
    return np.minimum(first, np.uint8(250 / gain)), _scaled(second, 1 / gain)


def _changed(first: Grey, second: Grey) -> Grey:
    """1 where two images differ by more than the camera's noise, else 0."""
    difference = cv2.absdiff(cv2.GaussianBlur(first, (5, 5), 1.0), cv2.GaussianBlur(second, (5, 5), 1.0))
    noise = 1.4826 * float(np.median(difference[::STEP, ::STEP]))  # of a normal variable: its deviation
    limit = min(max(FAINT, NOISE * noise), MOST_NOISE)
    return np.asarray(cv2.threshold(difference, limit, 1, cv2.THRESH_BINARY)[1], np.uint8)


def _steadied(first: Grey, second: Grey, back: Floats, changed: Grey) -> tuple[Floats, Grey]:
    """The shift of the whole view (right, down), 0 where none explains the change, and what changed beside it.

    What changed tells the shift. One that is a large thing's own would make the rest of the view differ.
    """
    told = back[::STEP, ::STEP][changed[::STEP, ::STEP] > 0]
    if not len(told):
        return np.zeros(2, np.float32), changed
    shift = -np.median(told, axis=0).astype(np.float32)
    after = _changed(_shifted(first, shift), second)
    if after.mean() > HELD * changed.mean():
        return np.zeros(2, np.float32), changed
    return shift, after & changed


def _shifted(image: Grey, shift: Floats) -> Grey:
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    moved = cv2.warpAffine(image, matrix, MOTION_SIZE[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _scaled(image: Grey, factor: float) -> Grey:
    return np.asarray(cv2.convertScaleAbs(image, alpha=factor), np.uint8)


_of_thread = local()  # the search keeps its buffers between images, and serves one thread at a time


def _search() -> Callable[[Grey, Grey], Floats]:
    """The flow (H W 2) from an image to another one."""
    if not hasattr(_of_thread, "search"):
        made: Any = cv2  # its stubs lack the function
        search = made.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        search.setFinestScale(1)
        _of_thread.search = lambda first, second: search.calc(first, second, None)
    found: Callable[[Grey, Grey], Floats] = _of_thread.search
    return found
