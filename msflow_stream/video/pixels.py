"""Pixels of a frame: kept as they were decoded until somebody wants them, small or in full, each made once."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from msflow_stream.types import Image, Pixels
from msflow_stream.video.cards import CardError
from msflow_stream.video.planar import planar_copy, planar_image
from msflow_stream.video.reading.colour import (
    PLANAR,
    FrameConverter,
    display_matrix,
    displayed_size,
    fetched,
    has_luma,
    is_full_range,
    is_on_card,
    layout,
    matrix_of,
    rgb_matrix,
    shrunk_image,
)

STRIDE = 4  # from one pixel of a sample to the next
OF_RGB = np.eye(3, 4, dtype=np.float32)
LUMA_OF_RGB = (0.299, 0.587, 0.114)  # BT.601


class Planes(NamedTuple):
    """The planes of a small image, in the colours of its source, and what makes red, green and blue of them.

    Attributes:
        values: uint8 3 x h x w: luma and chroma, or red, green and blue.
        matrix: float32 3 x 4; RGB in 0 to 255 is `matrix[:, :3] @ values + matrix[:, 3]`, clipped.
        luma: the levels of black and white in the first plane, where that is luma.
    """

    values: npt.NDArray[np.uint8]
    matrix: npt.NDArray[np.float32]
    luma: tuple[int, int] | None

    def rgb(self) -> Image:
        """Returns the image, uint8 h x w x 3."""
        rgb = np.tensordot(self.matrix[:, :3], self.values.astype(np.float32), 1) + self.matrix[:, 3, None, None]
        return np.ascontiguousarray(np.rint(np.clip(rgb, 0, 255)).astype(np.uint8).transpose(1, 2, 0))

    def grey(self) -> npt.NDArray[np.uint8]:
        """Returns the grey levels, uint8 h x w: the luma where there is one."""
        if self.luma is None:
            levels = np.tensordot(np.array(LUMA_OF_RGB, np.float32), self.values.astype(np.float32), 1)
            return np.asarray(np.rint(levels).astype(np.uint8))
        black, white = self.luma
        if (black, white) == (0, 255):
            return np.ascontiguousarray(self.values[0])
        levels = np.clip((np.arange(256) - black) * (255 / (white - black)), 0, 255)
        return np.asarray(cv2.LUT(self.values[0], np.rint(levels).astype(np.uint8)), np.uint8)


@runtime_checkable
class CodedPixels(Pixels, Protocol):
    """Pixels that become small, or an encoder's, without their image in full."""

    def planes(self, size: tuple[int, int]) -> Planes:
        """Returns the image stretched to a height and width."""

    def planar(self) -> VideoFrame:
        """Returns a new frame of luma and chroma, for an encoder."""


class DecodedPixels:
    """The pixels of a decoded frame. May be asked from several threads.

    A frame in a graphics card's memory stays there: it is fetched once, and only if somebody wants what is not made of
    it there. It takes no place of the decoder's, which made it a copy of its own.

    Attributes:
        frame: what the decoder made.
        shape: the image's height and width, and 3.
        nbytes: the size of the decoded frame.
    """

    def __init__(self, frame: VideoFrame, converter: FrameConverter) -> None:
        width, height = displayed_size(frame)
        self.shape = (height, width, 3)
        self.nbytes = sum(plane.buffer_size for plane in frame.planes)
        self.frame, self._converter = frame, converter
        self._lock = Lock()  # the scaler changes the frame's tags while it reads it
        self._here: VideoFrame | None = None if is_on_card(frame) else frame
        self._image: Image | None = None
        self._planes: dict[tuple[int, int], Planes] = {}

    def anew(self) -> DecodedPixels:
        """Returns the same pixels, of which nothing is made yet."""
        return DecodedPixels(self.frame, self._converter)

    def image(self) -> Image:
        """Returns the image, uint8 H x W x 3, RGB."""
        with self._lock:
            return self._whole()

    def planes(self, size: tuple[int, int]) -> Planes:
        """Returns the image stretched to a height and width."""
        with self._lock:
            if size not in self._planes:
                self._planes[size] = self._shrunk(size)
            return self._planes[size]

    def planar(self) -> VideoFrame:
        """Returns a new frame of luma and chroma, for an encoder (see `planar_copy`)."""
        with self._lock:
            if has_luma(self.frame):
                return planar_copy(self._fetched(), self._converter)
            return planar_image(self._whole(), self._converter)

    def sample(self) -> npt.NDArray[np.uint8]:
        """Returns every fourth pixel of every fourth line: of the luma, where it has 8 bits; else of the image."""
        if not has_luma(self.frame) or layout(self.frame).components[0].bits != 8:
            return sample(self.image())
        with self._lock:
            if self._here is None and self._converter.card is not None:
                with suppress(CardError):
                    return self._converter.card.sample(self.frame, STRIDE)
            luma = self._fetched().planes[0]
        lines = np.frombuffer(memoryview(luma), np.uint8).reshape(-1, luma.line_size)  # wider than the image
        return np.array(lines[: luma.height : STRIDE, : luma.width : STRIDE])

    def _whole(self) -> Image:
        if self._image is None:
            self._image = self._converter.rgb(self._fetched())
        return self._image

    def _fetched(self) -> VideoFrame:
        if self._here is None:
            self._here = fetched(self.frame)
        return self._here

    @property
    def siting(self) -> tuple[float, float]:
        """`chroma_siting` of the frame."""
        with self._lock:
            return self._converter.siting(self.frame)

    def _shrunk(self, size: tuple[int, int]) -> Planes:
        if not has_luma(self.frame):
            return _of_image(self._whole(), size)
        levels = (0, 255) if is_full_range(self.frame) else (16, 235)
        return Planes(self._values(size), self.matrix, levels)

    def _values(self, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        card = self._converter.card
        if card is not None and self._here is None and self.is_shrunk_on_card(size):
            with suppress(CardError):
                return card.planes(self.frame, size, self._converter.siting(self.frame))
        return self._converter.planes(self._fetched(), size)

    @property
    def matrix(self) -> npt.NDArray[np.float32]:
        """`rgb_matrix` of a frame that `has_luma`."""
        return rgb_matrix(matrix_of(self.frame), is_full_range(self.frame))

    def is_shrunk_on_card(self, size: tuple[int, int]) -> bool:
        """Returns whether the frame is in a card's memory, and can be brought to a height and width there."""
        frame = self.frame
        if not is_on_card(frame) or layout(frame).name not in PLANAR or display_matrix(frame) is not None:
            return False
        return frame.height >= size[0] and frame.width >= size[1] and not (frame.height % 2 or frame.width % 2)


def shrink(pixels: Image | Pixels, size: tuple[int, int]) -> Planes:
    """Returns pixels stretched to a height and width, each a mean over its area.

    This is the one way by which frames become small, those of videos, cameras and folders of images. What is still as
    it was decoded becomes small without its image in full.
    """
    if isinstance(pixels, CodedPixels):
        return pixels.planes(size)
    return _of_image(pixels if isinstance(pixels, np.ndarray) else pixels.image(), size)


def planar(pixels: Image | Pixels, converter: FrameConverter) -> VideoFrame:
    """Returns pixels as a new frame of luma and chroma, for an encoder; what is as it was decoded keeps its colours."""
    if isinstance(pixels, CodedPixels):
        return pixels.planar()
    return planar_image(pixels if isinstance(pixels, np.ndarray) else pixels.image(), converter)


def sample(pixels: Image | Pixels) -> npt.NDArray[np.uint8]:
    """Returns some of the pixels, spread over the image, in the colours that they have; their layout is no matter."""
    if isinstance(pixels, DecodedPixels):
        return pixels.sample()
    return (pixels if isinstance(pixels, np.ndarray) else pixels.image())[::STRIDE, ::STRIDE].copy()


def _of_image(image: Image, size: tuple[int, int]) -> Planes:
    return Planes(shrunk_image(image, size), OF_RGB, None)
