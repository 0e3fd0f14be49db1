"""Privacy areas: the parts of a frame that are black in everything that shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from msflow_stream.types import Frame, FrameScore, Image, Motion, Pixels
from msflow_stream.video.drawing.canvas import Box, Plane
from msflow_stream.video.pixels import DecodedPixels, Planes, planar, shrink
from msflow_stream.video.planar import plane_views
from msflow_stream.video.polygons import Mask, touched
from msflow_stream.video.reading.colour import FrameConverter, has_luma, is_full_range

Polygons = tuple[tuple[tuple[float, float], ...], ...]  # x, y: shares of the image's width and height

BLOCK = 2  # pixels to a side that share their chroma
NO_CHROMA = 128
DARK = 48  # what a JPEG's black is at most


class Cover(NamedTuple):
    """The pixels that one area covers: a box, and which of it; None: all."""

    box: Box
    mask: Plane | None

    @classmethod
    def of(cls, mask: Mask) -> Cover:
        """Returns the cover of a mask."""
        covered = mask.view(np.uint8)
        box = Box(*cv2.boundingRect(covered))
        part = np.ascontiguousarray(box.of(covered))
        return cls(box, None if part.all() else part)

    def enlarged(self, times: int) -> Cover:
        """Returns the cover where each pixel is so many to a side."""
        box = Box(*(times * side for side in self.box))
        return Cover(box, None if self.mask is None else np.kron(self.mask, np.ones((times, times), np.uint8)))

    def paint(self, plane: Plane, level: int) -> None:
        """Sets what is covered of a plane, h x w or h x w x channels, to a level."""
        part = self.box.of(plane)
        if self.mask is None:
            part[:] = level
        elif part.size:
            height, width = part.shape[:2]
            cv2.copyTo(np.full_like(part, level), np.ascontiguousarray(self.mask[:height, :width]), part)


@lru_cache(64)
def covers(polygons: Polygons, size: tuple[int, int], cell: int) -> tuple[Cover, ...]:
    """Returns what areas cover of an image of `size` (height, width), in cells of so many pixels to a side.

    All cells that an area touches: its edges are rounded outwards.
    """
    masks = (touched(polygon, size, cell) for polygon in polygons)
    return tuple(Cover.of(mask) for mask in masks if mask.any())


@lru_cache(64)
def pixel_covers(polygons: Polygons, size: tuple[int, int]) -> tuple[Cover, ...]:
    """Returns what areas cover of an image of `size`, in pixels: whole blocks, so that no chroma of theirs is left."""
    return tuple(cover.enlarged(BLOCK) for cover in covers(polygons, size, BLOCK))


@lru_cache(16)
def hidden_heat(polygons: Polygons, size: tuple[int, int], map_size: tuple[int, int]) -> Mask:
    """Returns the pixels of a map that add to what is drawn on covered pixels of an image of `size`.

    A map is drawn at an image's size with each pixel a mean of its nearest; one more to each side is for small images.
    """
    mask = np.zeros([side + side % BLOCK for side in size], np.bool_)
    for cover in pixel_covers(polygons, size):
        part = mask[cover.box.y : cover.box.y + cover.box.height, cover.box.x : cover.box.x + cover.box.width]
        part |= True if cover.mask is None else cover.mask.view(np.bool_)
    rows = np.stack([mask[reach].any(0) for reach in _reaches(mask.shape[0], map_size[0])])
    coarse = np.stack([rows[:, reach].any(1) for reach in _reaches(mask.shape[1], map_size[1])], axis=1)
    return cv2.dilate(coarse.view(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)


def _reaches(pixels: int, of_map: int) -> list[slice]:
    """Returns the pixels that each of a map's adds to, of one side."""
    step = pixels / of_map
    ends = [((i - 0.5) * step - 0.5, (i + 1.5) * step - 0.5) for i in range(of_map)]
    return [slice(max(0, math.floor(low)), math.ceil(high) + 1) for low, high in ends]


class MaskedPixels:
    """The pixels of a frame with privacy areas black. May be asked from several threads.

    Nothing is made before somebody asks; the original stays as it is.

    Attributes:
        shape: the image's height and width, and 3.
        nbytes: the size of the original.
    """

    def __init__(self, pixels: Image | Pixels, areas: Polygons, converter: FrameConverter) -> None:
        self.shape, self.nbytes = pixels.shape, pixels.nbytes
        self._pixels, self._areas, self._converter = pixels, areas, converter
        self._lock = Lock()
        self._image: Image | None = None

    def image(self) -> Image:
        """Returns the image, uint8 H x W x 3, RGB."""
        with self._lock:
            if self._image is None:
                original = self._pixels if isinstance(self._pixels, np.ndarray) else self._pixels.image()
                image = original.copy()
                _paint(image, self._pixel_covers(), 0)
                self._image = image
            return self._image

    def planar(self) -> VideoFrame:
        """Returns a new frame of luma and chroma, for an encoder."""
        # What is no luma and chroma yet is masked before: to make it takes a look at the neighbours.
        frame = planar(self._pixels if self._has_luma() else self.image(), self._converter)
        luma, *chroma = plane_views(frame)
        _paint(luma, self._pixel_covers(), _black(frame))
        for plane in chroma:
            _paint(plane, covers(self._areas, self.shape[:2], BLOCK), NO_CHROMA)
        return frame

    def planes(self, size: tuple[int, int]) -> Planes:
        """Returns the image stretched to a height and width: masked before, so that nothing of an area is in a mean."""
        small = shrink(DecodedPixels(self.planar(), self._converter) if self._has_luma() else self.image(), size)
        levels = (0, 0, 0) if small.luma is None else (small.luma[0], NO_CHROMA, NO_CHROMA)
        for plane, level in zip(small.values, levels, strict=True):
            _paint(plane, covers(self._areas, size, 1), level)
        return small

    def _has_luma(self) -> bool:
        return isinstance(self._pixels, DecodedPixels) and has_luma(self._pixels.frame)

    def _pixel_covers(self) -> tuple[Cover, ...]:
        return pixel_covers(self._areas, self.shape[:2])


class PrivacyAreas:
    """The privacy areas of one camera: what may be seen of its frames and their scores."""

    def __init__(self, areas: Polygons) -> None:
        """Takes at least one polygon."""
        self._areas, self._converter = areas, FrameConverter()

    def shown(self, frame: Frame) -> Frame:
        """Returns a frame as it may be seen, without what it was before."""
        return replace(frame, pixels=MaskedPixels(frame.pixels, self._areas, self._converter), earlier=None)

    def drawn(self, score: FrameScore, shape: tuple[int, ...]) -> FrameScore:
        """Returns a score as it may be drawn on a frame of a shape (H W 3): there is no heat in the areas, no arrow."""
        hidden = hidden_heat(self._areas, shape[:2], score.map.shape)
        heat = score.map.copy()
        heat[hidden] = 0
        why = score.why
        if why is not None and why.moved is not None and _is_within(why.moved, hidden):
            why = why._replace(moved=None)
        return replace(score, map=heat, why=why)

    def hide(self, image: npt.NDArray[np.uint8]) -> bool:
        """Paints the areas black in a grey image, h x w, of any size; returns whether anything was to be seen there."""
        covered = covers(self._areas, image.shape[:2], 1)
        before = image.copy()
        _paint(image, covered, 0)
        return bool((before[image != before] > DARK).any())


def _is_within(moved: Motion, hidden: Mask) -> bool:
    """Returns whether the place of a motion is where heat is hidden."""
    rows, columns = hidden.shape
    return bool(hidden[min(int(moved.y * rows), rows - 1), min(int(moved.x * columns), columns - 1)])


def _black(frame: VideoFrame) -> int:
    return 0 if is_full_range(frame) else 16


def _paint(plane: npt.NDArray[np.uint8], covered: Sequence[Cover], level: int) -> None:
    for cover in covered:
        cover.paint(plane, level)
