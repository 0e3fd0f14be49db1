"""Frames as an H.264 encoder wants them: all of one even size, yuv420p, in the colours of the first one."""

from __future__ import annotations

import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter

from msflow_stream.types import Image
from msflow_stream.video.planar import PlanarColours, planar_image
from msflow_stream.video.reading.colour import FrameConverter


class EncoderFrames:
    """A converter of images and of planar frames (see `planar_copy`) of any size into frames of one size.

    A planar frame that fits is taken as it is. An odd width or height grows by one column or row, a copy of the last,
    because chroma comes in twos.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._even = (width + width % 2, height + height % 2)
        self._colours: PlanarColours | None = None
        self._converter, self._scaler = FrameConverter(), VideoReformatter()

    def describe(self, codec: VideoCodecContext, first: VideoFrame) -> None:
        """Sets the size, pixel format and colour tags of an encoder that is not open yet: those of its first frame."""
        codec.width, codec.height = self._even
        codec.pix_fmt = "yuv420p"
        codec.colorspace, codec.color_range = first.colorspace, first.color_range
        codec.color_primaries, codec.color_trc = first.color_primaries, first.color_trc

    def convert(self, image: Image | VideoFrame) -> VideoFrame:
        """Returns the image as a frame of the size and colours that `describe` tells the encoder of.

        Raises:
            ValueError: if it is neither a planar frame nor uint8 H x W x 3.
        """
        if isinstance(image, VideoFrame):
            frame = image
        elif image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"expected uint8 H x W x 3, got {image.dtype} {image.shape}")
        else:
            frame = planar_image(self._resized(image), self._converter)
        if self._colours is None:
            self._colours = PlanarColours.of(frame)
        if (frame.width, frame.height) == self._even and PlanarColours.of(frame) == self._colours:
            return frame
        return self._fitted(frame, self._colours)

    def _resized(self, image: Image) -> Image:
        width, height = self._size
        if image.shape[:2] == (height, width):
            return image
        method = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, self._size, interpolation=method), np.uint8)

    def _fitted(self, frame: VideoFrame, colours: PlanarColours) -> VideoFrame:
        return self._scaler.reformat(
            frame,
            *self._even,
            "yuv420p",
            src_colorspace=frame.colorspace,
            dst_colorspace=colours.matrix,
            src_color_range=frame.color_range,
            dst_color_range=ColorRange.JPEG if colours.full else ColorRange.MPEG,
            threads=1,
        )
