"""The images that an overlay is drawn on, RGB or luma and chroma as they were decoded, and what is laid over them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Self

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from msflow_stream.types import Image
from msflow_stream.video.planar import PlanarColours, plane_views

Plane = npt.NDArray[np.uint8]  # h x w, or h x w x 3 where it is an RGB image
Colour = tuple[int, int, int]  # RGB
OPAQUE = 255


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

    def of(self, plane: Plane) -> Plane:
        """Returns the part of the plane in the box, as a view."""
        return plane[self.y : self.y + self.height, self.x : self.x + self.width]

    def halved(self) -> Box:
        """Returns the box at half the size, around all that it touches."""
        x, y = self.x // 2, self.y // 2
        return Box(x, y, (self.x + self.width + 1) // 2 - x, (self.y + self.height + 1) // 2 - y)


class Canvas(NamedTuple):
    """An image that is drawn on in place.

    Attributes:
        size: its width and height.
        planes: one RGB image; or luma, and the two planes of chroma at half its size.
        colours: what luma and chroma mean, None for RGB.
    """

    size: tuple[int, int]
    planes: tuple[Plane, ...]
    colours: PlanarColours | None

    @classmethod
    def of_image(cls, image: Image) -> Self:
        """Returns the canvas of an image, uint8 H x W x 3, RGB."""
        return cls((image.shape[1], image.shape[0]), (image,), None)

    @classmethod
    def of_frame(cls, frame: VideoFrame) -> Self:
        """Returns the canvas of a frame that `planar` gave."""
        return cls((frame.width, frame.height), plane_views(frame), PlanarColours.of(frame))


class Layer(NamedTuple):
    """The share of one plane that a stain keeps in its box, of 255, and what it adds."""

    box: Box
    keep: Plane
    add: Plane

    def lay(self, plane: Plane) -> None:
        """Blends the layer over the plane, in place."""
        part = self.box.of(plane)
        cv2.add(cv2.multiply(part, self.keep, scale=1 / 255), self.add, dst=part)


class Stain:
    """A coloured layer with an opacity per pixel, worked out once for each kind of canvas and laid over it cheaply."""

    def __init__(self, box: Box, colour: Colour, opacity: Plane | None = None) -> None:
        """Takes the opacity (uint8 h x w, 255 is opaque); None is opaque all over."""
        self._box, self._colour = box, colour
        self._opacity = np.full((box.height, box.width), OPAQUE, np.uint8) if opacity is None else opacity
        self._layers: dict[PlanarColours | None, Sequence[Layer]] = {}

    def lay(self, canvas: Canvas) -> None:
        """Blends the stain over the canvas, in place."""
        layers = self._layers.get(canvas.colours)
        if layers is None:
            layers = self._layers[canvas.colours] = self._worked_out(canvas.colours)
        for layer, plane in zip(layers, canvas.planes, strict=True):
            layer.lay(plane)

    def _worked_out(self, colours: PlanarColours | None) -> Sequence[Layer]:
        box, opacity = self._box, self._opacity
        if colours is None:
            weight = np.asarray(cv2.merge((opacity, opacity, opacity)), np.uint8)
            colour = np.ascontiguousarray(np.broadcast_to(np.array(self._colour, np.uint8), weight.shape))
            add = np.asarray(cv2.multiply(colour, weight, scale=1 / 255), np.uint8)
            return (Layer(box, OPAQUE - weight, add),)
        values = colours.of_rgb(np.array([self._colour], np.float32))[0].tolist()
        half = halved(opacity, box)
        places = ((box, opacity), (box.halved(), half), (box.halved(), half))
        return [
            Layer(place, OPAQUE - weight, np.asarray(cv2.convertScaleAbs(weight, alpha=value / OPAQUE), np.uint8))
            for value, (place, weight) in zip(values, places, strict=True)
        ]


class LevelColours:
    """The colour and the opacity of each of 256 levels."""

    def __init__(self, colours: npt.NDArray[np.uint8], opacity: npt.NDArray[np.uint8]) -> None:
        """Takes RGB (uint8 256 x 3) and opacity (uint8 256, 255 is opaque)."""
        self._colours, self._opacity = colours, opacity
        self._tables: dict[PlanarColours | None, npt.NDArray[np.uint8]] = {}

    @cached_property
    def keep(self) -> npt.NDArray[np.uint8]:
        """The share of an image that is kept, by level."""
        return OPAQUE - self._opacity

    def add(self, colours: PlanarColours | None) -> npt.NDArray[np.uint8]:
        """Returns what is added to an image, by level: uint8 256 x 3."""
        if colours not in self._tables:
            values = self._colours if colours is None else colours.of_rgb(self._colours)
            shares = values.astype(np.float32) * (self._opacity[:, None] / np.float32(OPAQUE))
            self._tables[colours] = np.rint(shares).astype(np.uint8)
        return self._tables[colours]


class LevelStain(Stain):
    """A layer whose colour and opacity follow from a level per pixel."""

    def __init__(self, box: Box, levels: Plane, table: LevelColours) -> None:
        """Takes the levels, uint8 h x w."""
        self._box, self._levels, self._table = box, levels, table
        self._layers = {}

    def _worked_out(self, colours: PlanarColours | None) -> Sequence[Layer]:
        box, levels, keep, add = self._box, self._levels, self._table.keep, self._table.add(colours)
        kept = looked_up(levels, keep)
        if colours is None:
            shown = np.asarray(cv2.applyColorMap(levels, add[:, None]), np.uint8)
            return (Layer(box, np.asarray(cv2.merge((kept, kept, kept)), np.uint8), shown),)
        half, place = halved(levels, box), box.halved()
        faint = looked_up(half, keep)
        chroma = [Layer(place, faint, looked_up(half, add[:, one])) for one in (1, 2)]
        return [Layer(box, kept, looked_up(levels, add[:, 0])), *chroma]


def halved(values: Plane, box: Box) -> Plane:
    """Returns values in a box at half the size, in `box.halved()`: means over two by two, with zeros around the box."""
    x, y, width, height = box
    even = cv2.copyMakeBorder(values, y % 2, (y + height) % 2, x % 2, (x + width) % 2, cv2.BORDER_CONSTANT, value=0)
    size = (even.shape[1] // 2, even.shape[0] // 2)
    return np.asarray(cv2.resize(even, size, interpolation=cv2.INTER_AREA), np.uint8)


def looked_up(levels: Plane, table: npt.NDArray[np.uint8]) -> Plane:
    """Returns the entries of a table of 256."""
    return np.asarray(cv2.LUT(levels, np.ascontiguousarray(table)), np.uint8)
