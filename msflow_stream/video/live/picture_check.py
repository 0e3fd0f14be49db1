"""The check for images that tell nothing: frozen ones and black ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from msflow_stream.types import Frame
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.pixels import sample

FLAT = 3.0  # grey levels; the deviation of an image without texture, be it black, or blue for "no signal"


def is_flat(pixels: npt.NDArray[np.uint8]) -> bool:
    """Returns whether an image, or a sample of it, is without texture."""
    return bool(pixels.std(axis=(0, 1)).max() < FLAT)


class PictureCheck:
    """The check of a camera's sampled images.

    Frozen means identical, not similar: a live sensor's noise shows in some pixel before long, whereas an empty scene
    at night may be as good as still for hours.
    """

    def __init__(self, frozen_after: float | None, black_after: float | None) -> None:
        """Takes for how many seconds images must be identical, or without texture, to be reported; None for never."""
        limits = {Fault.BLACK: black_after, Fault.FROZEN: frozen_after}
        self._limits = {fault: limit for fault, limit in limits.items() if limit is not None}
        self._since: dict[Fault, float] = {}
        self._before: npt.NDArray[np.uint8] | None = None

    def check(self, frame: Frame, now: float) -> tuple[Fault, float] | None:
        """Returns what is wrong with the frame's image and for how many seconds now, None for nothing."""
        if not self._limits:
            return None
        pixels = sample(frame.pixels)  # enough to tell
        present = {
            Fault.BLACK: is_flat(pixels),
            Fault.FROZEN: self._before is not None and np.array_equal(pixels, self._before),
        }
        self._before = pixels
        for fault, seen in present.items():
            if not seen:
                self._since.pop(fault, None)
        for fault, limit in self._limits.items():  # black images are often identical too: black goes first
            if present[fault] and now - self._since.setdefault(fault, now) >= limit:
                return fault, now - self._since[fault]
        return None
