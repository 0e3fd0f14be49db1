"""Decoded frames become the RGB images a person would see: right colours, right way up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideData, SideDataContainer, Type
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from msflow_stream.types import Image
from msflow_stream.video.cards import Card

UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
# Layouts of graphics cards, and those of the processor that hold the same values. The scaler brings colours up to full
# size in another way for the former, and an image should not depend on what decoded it.
PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le"}
HD_HEIGHT = 720  # where a file does not say, HD is BT.709 and anything smaller BT.601: what players assume
EXACT = Interpolation.ACCURATE_RND | Interpolation.BITEXACT
AREA, LANCZOS = Interpolation.AREA | EXACT, Interpolation.LANCZOS | EXACT
# By AVColorSpace, of ITU-T H.273: the shares of red and blue in luma.
MATRICES = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, by non-constant luminance
    10: (0.2627, 0.0593),  # BT.2020, by constant luminance: as players take it
}


class FrameConverter:
    """A converter of decoded frames to images; one per stream. May be used by several threads.

    It keeps the scaler's tables from frame to frame: those of each size, and as many of them as threads ask at once.

    Attributes:
        card: reads frames in a card's memory there; None: they are to be fetched first.
    """

    def __init__(self, threads: bool = True, card: Card | None = None) -> None:
        self.card = None if card is None else card.reading
        self._threads = 0 if threads else 1
        self._lock = Lock()
        self._idle: dict[object, list[VideoReformatter]] = {}
        self._sitings: dict[tuple[str, int, int], tuple[float, float]] = {}

    def rgb(self, frame: VideoFrame) -> Image:
        """Returns uint8 H x W x 3, RGB, contiguous, turned and mirrored as the frame's display matrix says."""
        with self._scaler("rgb") as scaler:
            source = _guess(frame) if frame.colorspace == UNSPECIFIED else None
            rgb = scaler.reformat(self._separated(frame), format="rgb24", src_colorspace=source, threads=self._threads)
        image: Image = rgb.to_ndarray()  # type: ignore[assignment]  # rgb24 is uint8
        return np.ascontiguousarray(upright(image, frame))

    def planes(self, frame: VideoFrame, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Returns luma and chroma, uint8 3 x h x w, of a frame that `has_luma`, stretched to a height and width.

        Each pixel is the mean over its area; a frame that is smaller, in either direction, is brought up by Lanczos's
        filter, which keeps it as sharp as it is. One step of libswscale, with the same bits on every processor.
        """
        height, width = size
        if is_turned(frame):
            height, width = width, height
        method = AREA if frame.width >= width and frame.height >= height else LANCZOS
        planar = "yuvj444p" if frame.format.name.startswith("yuvj") else "yuv444p"
        with self._scaler(size) as scaler:
            small = scaler.reformat(frame, width, height, planar, interpolation=method, threads=1)
        values: npt.NDArray[np.uint8] = small.to_ndarray()  # type: ignore[assignment]  # 8 bits
        return np.ascontiguousarray(upright(values.transpose(1, 2, 0), frame).transpose(2, 0, 1))

    def siting(self, frame: VideoFrame) -> tuple[float, float]:
        """Returns `chroma_siting` of a stream's frames, which is found once for each layout and size."""
        key = (layout(frame).name, frame.width, frame.height)
        with self._lock:
            known = self._sitings.get(key)
        if known is None:
            known = chroma_siting(frame)
            with self._lock:
                self._sitings[key] = known
        return known

    def planar(self, frame: VideoFrame) -> VideoFrame:
        """Returns a frame that `has_luma` with 8 bits and chroma at half the size, in the colours that it has."""
        planar = "yuvj420p" if frame.format.name.startswith("yuvj") else "yuv420p"
        with self._scaler("planar, 8 bits") as scaler:
            return scaler.reformat(self._separated(frame), format=planar, interpolation=AREA, threads=1)

    def of_image(self, image: Image, hd: bool) -> VideoFrame:
        """Returns an RGB image, uint8 H x W x 3, of even sides as a frame of limited range, by BT.709 or BT.601."""
        with self._scaler("image") as scaler:
            return scaler.reformat(
                VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709 if hd else Colorspace.ITU601,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                interpolation=Interpolation.BICUBIC,  # exact rounding takes a third longer
                threads=1,  # it is done beside the scoring
            )

    def _separated(self, frame: VideoFrame) -> VideoFrame:
        """The frame with planes of their own for both parts of chroma."""
        if frame.format.name not in PLANAR:
            return frame
        with self._scaler("planar") as scaler:
            # With more threads, libswscale's rows of p010le that are no multiple of 8 wide run into one another.
            return scaler.reformat(frame, format=PLANAR[frame.format.name], threads=1)

    @contextmanager
    def _scaler(self, purpose: object) -> Iterator[VideoReformatter]:
        """A scaler that nobody else uses meanwhile, the same one for the same purpose where there is one."""
        with self._lock:
            idle = self._idle.setdefault(purpose, [])
            scaler = idle.pop() if idle else VideoReformatter()
        yield scaler
        with self._lock:
            idle.append(scaler)


def shrunk_image(image: Image, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Returns the planes of an image (uint8 H x W x 3), 3 x h x w, as `FrameConverter.planes` does those of a frame."""
    # Three planes are three planes to the scaler, which would take colours apart and put them together again.
    planes = VideoFrame.from_ndarray(np.ascontiguousarray(image.transpose(2, 0, 1)), format="yuv444p")
    return FrameConverter().planes(planes, size)


def is_on_card(frame: VideoFrame) -> bool:
    """Returns whether the frame is in a graphics card's memory."""
    return frame.format.name == "cuda"


def layout(frame: VideoFrame) -> VideoFormat:
    """Returns the layout of the frame's values, wherever they are."""
    return frame.sw_format or frame.format


def fetched(frame: VideoFrame) -> VideoFrame:
    """Returns a frame that is in a card's memory as the processor would have decoded it; it is copied."""
    name = layout(frame).name
    return frame.reformat(format=PLANAR.get(name, name), threads=1)


def chroma_siting(frame: VideoFrame) -> tuple[float, float]:
    """Returns by how much chroma's samples lie right of and below the middles of the luma that they stand for.

    In samples of chroma: -0.25 is to the left, as in most video, and 0 in the middle. PyAV does not tell it, so it is
    seen in what libswscale makes of a slope that is tagged as the frame is. A frame in a card's memory is fetched.
    """
    slope = frame.reformat(width=64, height=64, format="yuv420p", threads=1)
    return _shift(slope, across=True), _shift(slope, across=False)


def _shift(slope: VideoFrame, across: bool) -> float:
    plane = slope.planes[1]
    values = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:32, :32]
    steps = 8 * np.arange(32, dtype=np.uint8)
    values[:] = steps if across else steps[:, None]
    full = slope.reformat(format="yuv444p", interpolation=AREA, threads=1).planes[1]
    lines = np.frombuffer(memoryview(full), np.uint8).reshape(-1, full.line_size)[:64, :64]
    middle = float(lines[16:48, 16:48].mean())
    return round(4 * (8 * 15.5 - middle) / 8) / 4


def has_luma(frame: VideoFrame) -> bool:
    """Returns whether the frame's planes are luma and chroma by a matrix that is known."""
    values = layout(frame)
    return len(values.components) >= 3 and not values.is_rgb and (frame.colorspace in MATRICES or _is_untold(frame))


def is_full_range(frame: VideoFrame) -> bool:
    """Returns whether luma goes from 0 to 255, not from 16 to 235."""
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")


def matrix_of(frame: VideoFrame) -> int:
    """Returns the matrix of a frame that `has_luma`, as ITU-T H.273 counts them: as tagged, or as players assume."""
    return int(_guess(frame) if _is_untold(frame) else frame.colorspace)


def rgb_matrix(matrix: int, full: bool) -> npt.NDArray[np.float32]:
    """Returns float32 3 x 4: RGB in 0 to 255 is its first three columns by the planes (8 bits), and its last.

    By ITU-R BT.601, BT.709 and BT.2020, of both ranges.

    Args:
        matrix: as ITU-T H.273 counts them.
        full: luma goes from 0 to 255, not from 16 to 235.
    """
    red, blue = MATRICES[matrix]
    green = 1 - red - blue
    chroma = [
        [1, 0, 2 * (1 - red)],
        [1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green],
        [1, 2 * (1 - blue), 0],
    ]
    scaled = np.array(chroma) * ([1, 1, 1] if full else [255 / 219, 255 / 224, 255 / 224])
    offset = -scaled @ [0 if full else 16, 128, 128]
    return np.column_stack([scaled, offset]).astype(np.float32)


def _is_untold(frame: VideoFrame) -> bool:
    return frame.colorspace == UNSPECIFIED


def _guess(frame: VideoFrame) -> Colorspace:
    """The colours that players assume where a file does not say."""
    return Colorspace.ITU709 if frame.height >= HD_HEIGHT else Colorspace.ITU601


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
    return (frame.height, frame.width) if is_turned(frame) else (frame.width, frame.height)


def is_turned(frame: VideoFrame) -> bool:
    """Returns whether the frame's display matrix turns it by a quarter."""
    matrix = display_matrix(frame)
    return matrix is not None and abs(matrix[1]) > abs(matrix[0])


def display_matrix(frame: VideoFrame) -> tuple[int, int, int, int] | None:
    """Returns (a, b, c, d) of the frame's display matrix, None where it has none."""
    # Not frame.side_data: the frame keeps that, and it the frame, so that each would wait for the garbage collector.
    data: Mapping[Type, SideData] = SideDataContainer(frame)  # type: ignore[call-arg]  # the stub lacks it
    if Type.DISPLAYMATRIX not in data:
        return None
    values = np.frombuffer(bytes(data[Type.DISPLAYMATRIX]), dtype=np.int32)  # 3 x 3, row by row
    return int(values[0]), int(values[1]), int(values[3]), int(values[4])
