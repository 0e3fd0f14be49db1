"""RGB images as an H.264 encoder wants them: one even size, yuv420p, limited range, the colours players expect."""

from __future__ import annotations

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

HD_LINES = 720  # from here on players expect BT.709, below it BT.601
BT709, BT601 = 1, 6  # ITU-T H.273 uses one number for matrix, primaries and transfer of either


class EncoderFrames:
    """A converter of uint8 H x W x 3 RGB images of any size into yuv420p frames of one size.

    An odd width or height grows by one column or row, a copy of the last, because chroma comes in twos.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._hd = height >= HD_LINES
        self._reformatter = VideoReformatter()

    def describe(self, codec: VideoCodecContext) -> None:
        """Sets the size, pixel format and colour tags of an encoder that is not open yet."""
        codec.width, codec.height = (side + side % 2 for side in self._size)
        codec.pix_fmt = "yuv420p"
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709 if self._hd else BT601
        codec.color_range = ColorRange.MPEG

    def convert(self, image: npt.NDArray[np.uint8]) -> av.VideoFrame:
        """Returns the image as a frame of the size and colours that `describe` tells the encoder of.

        Raises:
            ValueError: if the image is not uint8 H x W x 3.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"expected uint8 H x W x 3, got {image.dtype} {image.shape}")
        return self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(self._fitted(image)), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709 if self._hd else Colorspace.ITU601,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,  # exact rounding takes a third longer, for one level of some chroma
        )

    def _fitted(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        width, height = self._size
        if image.shape[:2] != (height, width):
            method = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_LINEAR
            image = np.asarray(cv2.resize(image, self._size, interpolation=method), np.uint8)
        if width % 2 or height % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        return image
