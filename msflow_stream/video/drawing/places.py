"""The outline of places that count for less, dashed: whoever looks sees where something is excepted."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.video.drawing.canvas import Canvas
from msflow_stream.video.drawing.widgets import INK, WHITE

ShareBox = tuple[float, float, float, float]  # x, y, width, height: shares of the image
DASH = 5  # times as long as it is thick


class DashedOutline:
    """The outline of boxes taken together; worked out once for as long as they and the image's size stay.

    White dashes with dark ones between them can be seen on any ground.
    """

    def __init__(self) -> None:
        self._of: tuple[object, ...] = ()
        self._places: tuple[tuple[npt.NDArray[np.intp], ...], ...] = ()  # rows and columns of the white, and the dark

    def draw(self, canvas: Canvas, boxes: Sequence[ShareBox]) -> None:
        """Draws it, in place."""
        if self._of != (boxes, canvas.size):
            self._of = boxes, canvas.size
            self._places = tuple(np.nonzero(mask) for mask in _dashes(boxes, canvas.size))
        for (rows, columns), colour in zip(self._places, (WHITE, INK), strict=True):
            if canvas.colours is None:
                canvas.planes[0][rows, columns] = colour
                continue
            values = canvas.colours.of_rgb(np.array([colour], np.float32))[0].tolist()
            canvas.planes[0][rows, columns] = round(values[0])
            for plane, value in zip(canvas.planes[1:], values[1:], strict=True):
                high, wide = plane.shape
                plane[np.minimum(rows // 2, high - 1), np.minimum(columns // 2, wide - 1)] = round(value)


def _dashes(boxes: Sequence[ShareBox], size: tuple[int, int]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Returns the pixels of the outline that are white, and those that are dark."""
    width, height = size
    inside = np.zeros((height, width), np.uint8)
    for x, y, across, down in boxes:
        inside[_part(y, down, height), _part(x, across, width)] = 1
    thick = max(1, round(height / 360))
    around = np.ones((2 * thick + 1, 2 * thick + 1), np.uint8)
    edge = inside > cv2.erode(inside, around, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    rows, columns = np.mgrid[:height, :width]
    white = (rows + columns) // (DASH * thick) % 2 == 0
    return edge & white, edge & ~white


def _part(start: float, length: float, pixels: int) -> slice:
    return slice(max(0, round(start * pixels)), max(0, round((start + length) * pixels)))
