"""Frames as encoders take them: yuv420p, upright, of even sides, in the colours that they were decoded with."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from msflow_stream.types import Image
from msflow_stream.video.reading.colour import (
    HD_HEIGHT,
    UNSPECIFIED,
    FrameConverter,
    displayed_size,
    is_full_range,
    rgb_matrix,
    upright,
)

BT709, BT601 = 1, 6  # ITU-T H.273 uses one number for matrix, primaries and transfer of either
PLAIN = ("yuv420p", "yuvj420p")


class PlanarColours(NamedTuple):
    """The meaning of luma and chroma: their matrix, as ITU-T H.273 counts them, and whether luma goes from 0 to 255."""

    matrix: int
    full: bool

    @classmethod
    def of(cls, frame: VideoFrame) -> Self:
        """Returns those of a frame that is tagged, as `planar_copy` and `planar_image` do it."""
        return cls(int(frame.colorspace), is_full_range(frame))

    def of_rgb(self, rgb: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        """Returns luma and chroma, uint8 n x 3, of RGB from 0 to 255, n x 3."""
        matrix = _planar_matrix(self.matrix, self.full)
        values = np.asarray(rgb, np.float64) @ matrix[:, :3].T + matrix[:, 3]
        return np.asarray(np.rint(np.clip(values, 0, 255)), np.uint8)


class PlanarTags(NamedTuple):
    """The size of a planar frame, and its colours as ITU-T H.273 counts them."""

    width: int
    height: int
    matrix: int
    primaries: int
    transfer: int
    color_range: int

    @classmethod
    def of(cls, frame: VideoFrame) -> Self:
        """Returns those of a planar frame."""
        colours = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
        return cls(frame.width, frame.height, *(int(one) for one in colours))

    def new(self) -> VideoFrame:
        """Returns a frame with these, of which nothing is filled in."""
        frame = VideoFrame(self.width, self.height, "yuv420p")
        frame.colorspace, frame.color_primaries, frame.color_trc = self.matrix, self.primaries, self.transfer
        frame.color_range = self.color_range
        return frame


def planar_copy(frame: VideoFrame, converter: FrameConverter) -> VideoFrame:
    """Returns a decoded frame as a new one that may be drawn on; its colours are converted only to 8 bits and 4:2:0.

    An odd width or height grows by one column or row, a copy of the last, because chroma comes in twos.
    """
    planes = plane_views(frame if frame.format.name in PLAIN else converter.planar(frame))
    copy = _tags(frame).new()
    for target, plane in zip(plane_views(copy), planes, strict=True):
        _fill(target, upright(plane, frame))
    return copy


def planar_image(image: Image, converter: FrameConverter) -> VideoFrame:
    """Returns an image, uint8 H x W x 3, RGB, as a frame of limited range with the colours that players expect.

    An odd width or height grows as by `planar_copy`.
    """
    height, width = image.shape[:2]
    if width % 2 or height % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = converter.of_image(image, hd=height >= HD_HEIGHT)
    frame.colorspace = frame.color_primaries = frame.color_trc = BT709 if height >= HD_HEIGHT else BT601
    frame.color_range = ColorRange.MPEG
    return frame


def plane_views(frame: VideoFrame) -> tuple[npt.NDArray[np.uint8], ...]:
    """Returns the planes of a frame of 8 bits, without what lies beside them in memory; views, which may be written."""
    views = []
    for plane in frame.planes:
        lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        views.append(lines[: plane.height, : plane.width])
    return tuple(views)


@cache
def _planar_matrix(number: int, full: bool) -> npt.NDArray[np.float64]:
    """3 x 4: luma and chroma are its first three columns by RGB, and its last."""
    matrix = rgb_matrix(number, full).astype(np.float64)
    inverse = np.linalg.inv(matrix[:, :3])
    return np.column_stack([inverse, -inverse @ matrix[:, 3]])


def _tags(frame: VideoFrame) -> PlanarTags:
    """The tags of a copy of a decoded frame."""
    width, height = displayed_size(frame)
    number = BT709 if frame.height >= HD_HEIGHT else BT601
    matrix = number if frame.colorspace == UNSPECIFIED else int(frame.colorspace)
    colours = (matrix, _known(frame.color_primaries, matrix), _known(frame.color_trc, matrix))
    color_range = ColorRange.JPEG if is_full_range(frame) else ColorRange.MPEG
    return PlanarTags(width + width % 2, height + height % 2, *colours, color_range)


def _fill(target: npt.NDArray[np.uint8], plane: npt.NDArray[np.uint8]) -> None:
    height, width = plane.shape
    target[:height, :width] = plane
    target[height:, :width] = target[height - 1, :width]
    target[:, width:] = target[:, width - 1 : width]


def _known(number: int, matrix: int) -> int:
    """The tag of a frame or, where it has none, the one that goes with BT.709 or BT.601."""
    return BT709 if number == UNSPECIFIED and matrix == BT709 else BT601 if number == UNSPECIFIED else number
