"""Decoded frames become the RGB images a person would see: right colours, right way up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideData, SideDataContainer, Type
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter

UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
# Layouts of graphics cards, and those of the processor that hold the same values. The scaler brings colours up to full
# size in another way for the former, and an image should not depend on what decoded it.
PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le"}
HD_HEIGHT = 720  # where a file does not say, HD is BT.709 and anything smaller BT.601: what players assume


class RgbConverter:
    """A converter of decoded frames to RGB; one per stream, as it keeps the scaler's tables between frames."""

    def __init__(self, threads: bool = True) -> None:
        self._reformatter, self._unpacker = VideoReformatter(), VideoReformatter()
        self._threads = 0 if threads else 1

    def __call__(self, frame: VideoFrame) -> npt.NDArray[np.uint8]:
        """Returns uint8 H x W x 3, contiguous, turned and mirrored as the frame's display matrix says."""
        guess = Colorspace.ITU709 if frame.height >= HD_HEIGHT else Colorspace.ITU601
        source = guess if frame.colorspace == UNSPECIFIED else None
        planar = frame
        if frame.format.name in PLANAR:
            planar = self._unpacker.reformat(frame, format=PLANAR[frame.format.name], threads=self._threads)
        rgb = self._reformatter.reformat(planar, format="rgb24", src_colorspace=source, threads=self._threads)
        image: npt.NDArray[np.uint8] = rgb.to_ndarray()  # type: ignore[assignment]  # rgb24 is uint8
        return np.ascontiguousarray(upright(image, frame))


def upright(image: npt.NDArray[np.uint8], frame: VideoFrame) -> npt.NDArray[np.uint8]:
    """Returns the image (H x W x C) as the frame's display matrix shows it; quarter turns and mirrorings only."""
    matrix = display_matrix(frame)
    if matrix is None:
        return image
    # A pixel at (x, y) is shown at (a x + c y, b x + d y); the sign says from which side it is counted.
    a, b, c, d = matrix
    if abs(b) > abs(a):
        image, across, down = image.swapaxes(0, 1), c, b
    else:
        across, down = a, d
    if across < 0:
        image = image[:, ::-1]
    return image[::-1] if down < 0 else image


def displayed_size(frame: VideoFrame) -> tuple[int, int]:
    """Returns (width, height) of the frame as its display matrix shows it."""
    matrix = display_matrix(frame)
    turned = matrix is not None and abs(matrix[1]) > abs(matrix[0])
    return (frame.height, frame.width) if turned else (frame.width, frame.height)


def display_matrix(frame: VideoFrame) -> tuple[int, int, int, int] | None:
    """Returns (a, b, c, d) of the frame's display matrix, None where it has none."""
    # Not frame.side_data: the frame keeps that, and it the frame, so that each would wait for the garbage collector.
    data: Mapping[Type, SideData] = SideDataContainer(frame)  # type: ignore[call-arg]  # the stub lacks it
    if Type.DISPLAYMATRIX not in data:
        return None
    values = np.frombuffer(bytes(data[Type.DISPLAYMATRIX]), dtype=np.int32)  # 3 x 3, row by row
    return int(values[0]), int(values[1]), int(values[3]), int(values[4])
