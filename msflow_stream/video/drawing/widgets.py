"""The shapes an overlay is made of, drawn in place on a canvas: panels, texts, a bar, a curve, an arrow, a border."""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.video.drawing.canvas import OPAQUE, Box, Canvas, Colour, Plane, Stain

Point = tuple[float, float]  # x, y in pixels
Align = Literal["left", "centre", "right"]

WHITE: Colour = (245, 246, 248)
INK: Colour = (14, 16, 20)
AMBER: Colour = (255, 190, 70)
RED: Colour = (232, 42, 46)


def panel(box: Box, colour: Colour = INK, opacity: float = 0.55) -> Stain:
    """Returns a translucent ground with rounded corners."""
    mask = np.zeros((box.height, box.width), np.uint8)
    radius = min(box.width, box.height, max(2, round(box.height**0.5))) // 2
    shade = round(opacity * 255)
    right, bottom = box.width - 1 - radius, box.height - 1 - radius
    cv2.rectangle(mask, (radius, 0), (right, box.height - 1), shade, -1)
    cv2.rectangle(mask, (0, radius), (box.width - 1, bottom), shade, -1)
    for corner in ((radius, radius), (right, radius), (radius, bottom), (right, bottom)):
        cv2.circle(mask, corner, radius, shade, -1, cv2.LINE_AA)
    return Stain(box, colour, mask)


class Label:
    """One line of text on a ground wide enough for the widest text it will show, so that it never jumps."""

    def __init__(
        self,
        widest: str,
        size: int,
        align: Align,
        margin: int,
        frame: tuple[int, int],
        ground: Colour = INK,
        row: int = 0,
        inset: int = 0,
    ) -> None:
        """Takes the font's size in pixels; `align` and `row` say where at the top of a (width, height) frame it is.

        A label at a side is `inset` by so many pixels more than its margin.
        """
        self._font = cv2.FontFace("sans")
        self._size = size
        pad = max(1, round(size * 0.45))
        width, height = self._width(widest) + 2 * pad, round(size * 1.55)
        right = frame[0] - margin - inset - width
        x = {"left": margin + inset, "centre": (frame[0] - width) // 2, "right": right}[align]
        self.box = Box(x, margin + row * (height + margin), width, height).within(frame)
        self._panel = panel(self.box, ground, 0.55 if ground == INK else 0.9)
        self._baseline = round(height / 2 + size * 0.36)  # digits and capitals are about 0.7 of the size high
        self._text, self._letters = "", self._panel  # the text drawn last

    def draw(self, canvas: Canvas, text: str, weight: int = 500) -> None:
        """Draws the ground and the text in its middle, in place."""
        self._panel.lay(canvas)
        if text != self._text:
            x = max(0, (self.box.width - self._width(text, weight)) // 2)
            mask = np.zeros((self.box.height, self.box.width), np.uint8)
            cv2.putText(mask, text, (x, self._baseline), OPAQUE, self._font, self._size, weight)
            self._text, self._letters = text, Stain(self.box, WHITE, mask)
        if text:
            self._letters.lay(canvas)

    def _width(self, text: str, weight: int = 500) -> int:
        return int(cv2.getTextSize((0, 0), text, (0, 0), self._font, self._size, weight)[2])


class Bar:
    """An upright bar filled up to a level, with a tick at the threshold. Levels are 0 (bottom) to 1 (top)."""

    def __init__(self, box: Box, threshold: float | None, stroke: int) -> None:
        self._box = box
        self._threshold = threshold
        self._stroke = stroke
        self._ground = self._filling = panel(box)
        self._drawn = (0, WHITE)  # what it was filled with last
        self._tick: Stain | None = None

    def draw(self, canvas: Canvas, level: float) -> None:
        """Draws the bar in place; it is red where it has passed the threshold."""
        x, y, width, height = self._box
        self._ground.lay(canvas)
        filled = round(level * height)
        if filled > 0:
            over = self._threshold is not None and level >= self._threshold
            colour = RED if over else WHITE
            if self._drawn != (filled, colour):
                self._drawn = (filled, colour)
                self._filling = Stain(Box(x, y + height - filled, width, filled), colour)
            self._filling.lay(canvas)
        if self._threshold is not None:
            if self._tick is None:
                tick = min(y + height - 1, y + round((1 - self._threshold) * height))
                box = Box(x - width, tick - self._stroke, 2 * width, 2 * self._stroke)
                self._tick = Stain(box.within(canvas.size), AMBER)
            self._tick.lay(canvas)


class TimelineCurve:
    """The recent levels as a line on a ground, the newest at the right, and the threshold as a dashed line."""

    def __init__(self, box: Box, threshold: float | None, stroke: int) -> None:
        self._ground = panel(box)
        inset = max(1, min(box.height // 8, box.width // 8))
        self._box = Box(box.x + inset, box.y + inset, box.width - 2 * inset, box.height - 2 * inset)
        self._threshold = threshold
        self._stroke = stroke
        self._dashes: Stain | None = None

    def draw(self, canvas: Canvas, ages: npt.NDArray[np.float64], levels: npt.NDArray[np.float64]) -> None:
        """Draws points of ages 1 (oldest, left) to 0 (now, right) and their levels from 0 to 1, in place."""
        self._ground.lay(canvas)
        x, y, width, height = self._box
        if height < 2 or width < 2:
            return
        row = 0 if self._threshold is None else round((1 - self._threshold) * (height - 1))
        points = np.stack(((1 - ages) * (width - 1), (1 - levels) * (height - 1)), axis=1)
        if len(points):
            top = max(0, math.floor(points[:, 1].min()) - self._stroke - 1)
            bottom = min(height, math.ceil(points[:, 1].max()) + self._stroke + 2)
            line = self._line(points - (0, top), bottom - top)
            split = min(max(row, top), bottom)
            for begin, end, colour in ((top, split, RED), (split, bottom, WHITE)):
                if begin < end:
                    Stain(Box(x, y + begin, width, end - begin), colour, line[begin - top : end - top]).lay(canvas)
        if self._threshold is not None:
            self._dashed(row).lay(canvas)

    def _line(self, points: npt.NDArray[np.float64], height: int) -> Plane:
        """The opacity of a line through the points, in so many rows."""
        # Sixteenths of a pixel, so that the line glides instead of stepping as time goes on.
        fixed = np.round(points * 16).astype(np.int32).reshape(-1, 1, 2)
        mask = np.zeros((height, self._box.width), np.uint8)
        cv2.polylines(mask, [fixed], False, OPAQUE, self._stroke, cv2.LINE_AA, shift=4)
        return mask

    def _dashed(self, row: int) -> Stain:
        """The threshold as a line at a row of the curve's box."""
        x, y, width, height = self._box
        if self._dashes is None:
            dash, thick = 4 * (self._stroke + 1), min(height - row, max(1, self._stroke // 2))
            is_dash = np.arange(width) // dash % 2 == 0
            opacity = np.where(is_dash, OPAQUE, 0).astype(np.uint8)
            self._dashes = Stain(Box(x, y + row, width, thick), AMBER, np.tile(opacity, (thick, 1)))
        return self._dashes


def arrow(canvas: Canvas, start: Point, end: Point, thick: float, colour: Colour = WHITE) -> None:
    """Draws an arrow with a dark edge around it, in place; its head is four times as broad as its shaft is thick."""
    foot, tip = np.array(start), np.array(end)
    length = float(np.hypot(*(tip - foot)))
    along = (tip - foot) / max(length, 1e-6)
    across = np.array((-along[1], along[0])) * thick / 2
    neck = tip - along * min(4 * thick, 0.6 * length)
    one_side = (foot + across, neck + across, neck + 4 * across)
    other_side = (neck - 4 * across, neck - across, foot - across)
    points = np.stack((*one_side, tip, *other_side))
    edge = max(2, round(0.8 * thick))
    low, high = np.floor(points.min(axis=0)).astype(int) - edge, np.ceil(points.max(axis=0)).astype(int) + edge + 1
    box = Box(*low.tolist(), *(high - low).tolist()).within(canvas.size)
    corners = np.round(16 * (points - (box.x, box.y))).astype(np.int32)
    outline, shape = np.zeros((2, box.height, box.width), np.uint8)
    cv2.polylines(outline, [corners], True, OPAQUE, edge, cv2.LINE_AA, shift=4)
    cv2.fillPoly(shape, [corners], OPAQUE, cv2.LINE_AA, shift=4)
    Stain(box, INK, outline).lay(canvas)
    Stain(box, colour, shape).lay(canvas)


def border(canvas: Canvas, thickness: int, colour: Colour = RED) -> None:
    """Frames the canvas, in place."""
    width, height = canvas.size
    for box in (
        Box(0, 0, width, thickness),
        Box(0, height - thickness, width, thickness),
        Box(0, 0, thickness, height),
        Box(width - thickness, 0, thickness, height),
    ):
        Stain(box.within(canvas.size), colour).lay(canvas)
