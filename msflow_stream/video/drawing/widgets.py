"""The shapes an overlay is made of, drawn in place on RGB images: glows, panels, texts, a bar, a curve, an arrow."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Point = tuple[float, float]  # x, y in pixels
Align = Literal["left", "centre", "right"]

WHITE: Colour = (245, 246, 248)
INK: Colour = (14, 16, 20)
AMBER: Colour = (255, 190, 70)
RED: Colour = (232, 42, 46)


class Box(NamedTuple):
    """A rectangle in pixels."""

    x: int
    y: int
    width: int
    height: int

    def within(self, frame: tuple[int, int]) -> Box:
        """Returns the part of the box that lies in a frame of (width, height), at least one pixel."""
        x, y = min(max(self.x, 0), frame[0] - 1), min(max(self.y, 0), frame[1] - 1)
        right, bottom = min(self.x + self.width, frame[0]), min(self.y + self.height, frame[1])
        return Box(x, y, max(1, right - x), max(1, bottom - y))

    def of(self, image: Image) -> Image:
        """Returns the part of the image in the box, as a view."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]


class Stain:
    """A colour layer with an opacity per pixel, prepared once and laid over images cheaply."""

    def __init__(self, box: Box, colour: Image | Colour, opacity: Image) -> None:
        """Takes the opacity (uint8 h x w, 255 is opaque) and one RGB colour, or uint8 h x w x 3."""
        self._box = box
        self._keep, self._add = _weighted(colour, opacity)

    @classmethod
    def of_levels(cls, box: Box, levels: Image, table: tuple[Image, Image]) -> Self:
        """Returns a layer with the colour and opacity that `level_table` gives for each pixel's level (uint8 h x w)."""
        stain = cls.__new__(cls)
        keep, add = table
        stain._box, kept = box, np.asarray(cv2.LUT(levels, keep), np.uint8)
        stain._keep = np.asarray(cv2.merge((kept, kept, kept)), np.uint8)
        stain._add = np.asarray(cv2.applyColorMap(levels, add), np.uint8)
        return stain

    def lay(self, image: Image) -> None:
        """Blends the layer over the image, in place."""
        part = self._box.of(image)
        cv2.add(cv2.multiply(part, self._keep, scale=1 / 255), self._add, dst=part)


def level_table(colours: Image, opacity: Image) -> tuple[Image, Image]:
    """Returns, for each of 256 levels, how much a layer keeps of an image and what it adds.

    Args:
        colours: RGB, uint8 256 x 1 x 3.
        opacity: uint8 256 x 1, 255 is opaque.
    """
    keep, add = _weighted(colours, opacity)
    return np.ascontiguousarray(keep[..., 0]), add


def _weighted(colour: Image | Colour, opacity: Image) -> tuple[Image, Image]:
    weight = cv2.merge((opacity, opacity, opacity))
    layer = np.ascontiguousarray(np.broadcast_to(np.asarray(colour, np.uint8), weight.shape))
    return np.asarray(cv2.bitwise_not(weight), np.uint8), np.asarray(
        cv2.multiply(layer, weight, scale=1 / 255), np.uint8
    )


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

    def draw(self, image: Image, text: str, weight: int = 500) -> None:
        """Draws the ground and the text in its middle, in place."""
        self._panel.lay(image)
        part = self.box.of(image)
        x = max(0, (self.box.width - self._width(text, weight)) // 2)
        mask = np.zeros((*part.shape[:2], 3), np.uint8)
        cv2.putText(mask, text, (x, self._baseline), (255, 255, 255), self._font, self._size, weight)
        Stain(self.box, WHITE, np.ascontiguousarray(mask[..., 0])).lay(image)

    def _width(self, text: str, weight: int = 500) -> int:
        return int(cv2.getTextSize((0, 0), text, (0, 0), self._font, self._size, weight)[2])


class Bar:
    """An upright bar filled up to a level, with a tick at the threshold. Levels are 0 (bottom) to 1 (top)."""

    def __init__(self, box: Box, threshold: float | None, stroke: int) -> None:
        self._box = box
        self._threshold = threshold
        self._stroke = stroke
        self._ground = panel(box)

    def draw(self, image: Image, level: float) -> None:
        """Draws the bar in place; it is red where it has passed the threshold."""
        x, y, width, height = self._box
        self._ground.lay(image)
        filled = round(level * height)
        if filled > 0:
            over = self._threshold is not None and level >= self._threshold
            self._box.of(image)[height - filled :] = RED if over else WHITE
        if self._threshold is not None:
            tick = min(y + height - 1, y + round((1 - self._threshold) * height))
            image[max(y, tick - self._stroke) : tick + self._stroke, max(0, x - width) : x + width] = AMBER


class TimelineCurve:
    """The recent levels as a line on a ground, the newest at the right, and the threshold as a dashed line."""

    def __init__(self, box: Box, threshold: float | None, stroke: int) -> None:
        self._ground = panel(box)
        inset = max(1, min(box.height // 8, box.width // 8))
        self._box = Box(box.x + inset, box.y + inset, box.width - 2 * inset, box.height - 2 * inset)
        self._threshold = threshold
        self._stroke = stroke

    def draw(self, image: Image, ages: npt.NDArray[np.float64], levels: npt.NDArray[np.float64]) -> None:
        """Draws points of ages 1 (oldest, left) to 0 (now, right) and their levels from 0 to 1, in place."""
        self._ground.lay(image)
        part = self._box.of(image)
        height, width = part.shape[:2]
        if height < 2 or width < 2:
            return
        points = np.stack(((1 - ages) * (width - 1), (1 - levels) * (height - 1)), axis=1)
        # Sixteenths of a pixel, so that the line glides instead of stepping as time goes on.
        fixed = np.round(points * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(part, [fixed], False, WHITE, self._stroke, cv2.LINE_AA, shift=4)
        if self._threshold is None:
            return
        row = round((1 - self._threshold) * (height - 1))
        cv2.polylines(part[:row], [fixed], False, RED, self._stroke, cv2.LINE_AA, shift=4)
        dash = 4 * (self._stroke + 1)
        for x in range(0, width, 2 * dash):
            part[row : row + max(1, self._stroke // 2), x : x + dash] = AMBER


def arrow(image: Image, start: Point, end: Point, thick: float, colour: Colour = WHITE) -> None:
    """Draws an arrow with a dark edge around it, in place; its head is four times as broad as its shaft is thick."""
    foot, tip = np.array(start), np.array(end)
    length = float(np.hypot(*(tip - foot)))
    along = (tip - foot) / max(length, 1e-6)
    across = np.array((-along[1], along[0])) * thick / 2
    neck = tip - along * min(4 * thick, 0.6 * length)
    one_side = (foot + across, neck + across, neck + 4 * across)
    other_side = (neck - 4 * across, neck - across, foot - across)
    corners = np.round(16 * np.stack((*one_side, tip, *other_side))).astype(np.int32)
    cv2.polylines(image, [corners], True, INK, max(2, round(0.8 * thick)), cv2.LINE_AA, shift=4)
    cv2.fillPoly(image, [corners], colour, cv2.LINE_AA, shift=4)


def border(image: Image, thickness: int, colour: Colour = RED) -> None:
    """Frames the image, in place."""
    image[:thickness] = image[-thickness:] = colour
    image[:, :thickness] = image[:, -thickness:] = colour
