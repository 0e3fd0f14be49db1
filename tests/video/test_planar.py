"""Frames as encoders take them: whatever a decoder gave, upright, even, and in the colours that it had."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from msflow_stream.types import Image
from msflow_stream.video.pixels import DecodedPixels, planar
from msflow_stream.video.planar import PlanarColours, planar_copy, plane_views
from msflow_stream.video.reading import colour
from msflow_stream.video.reading.colour import FrameConverter

CONVERTER = FrameConverter()
LAYOUTS = [
    "yuv420p",
    "nv12",
    "yuv422p",
    "yuv444p",
    "yuv420p10le",
    "p010le",
    "yuvj420p",
    "yuvj422p",
    "rgb24",
    "gbrp",
    "gray",
]


def smooth(width: int, height: int) -> Image:
    rows, columns = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    return np.stack([60 + 120 * columns, 90 + 60 * rows, 150 - 80 * columns], 2).astype(np.uint8)


def decoded(layout: str, width: int = 96, height: int = 64) -> VideoFrame:
    frame = VideoFrame.from_ndarray(smooth(width, height), format="rgb24").reformat(format=layout)
    if layout not in ("rgb24", "gbrp"):
        frame.colorspace = 5
        frame.color_range = ColorRange.JPEG if layout.startswith("yuvj") else ColorRange.MPEG
    return frame


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("width", "height"), [(96, 64), (97, 65)])
def test_a_frame_of_any_layout_looks_the_same(layout: str, width: int, height: int) -> None:
    pixels = DecodedPixels(decoded(layout, width, height), CONVERTER)
    frame = pixels.planar()
    assert (frame.format.name, frame.width, frame.height) == ("yuv420p", width + width % 2, height + height % 2)
    shown = CONVERTER.rgb(frame)[:height, :width].astype(int)
    assert np.abs(shown - pixels.image()).max() <= 6


def test_a_frame_of_a_card_s_layout_looks_the_same_every_time() -> None:
    frame = decoded("p010le", 1366, 768)
    images = [DecodedPixels(frame, CONVERTER).image() for _ in range(12)]
    assert all(np.array_equal(image, images[0]) for image in images)


@pytest.mark.parametrize("layout", ["yuv420p", "yuvj420p"])
def test_planes_of_the_usual_layout_are_the_decoder_s_to_the_bit_and_others_memory(layout: str) -> None:
    frame = decoded(layout)
    copy = planar_copy(frame, CONVERTER)
    for plane, before in zip(plane_views(copy), plane_views(frame), strict=True):
        assert np.array_equal(plane, before)
        assert not np.shares_memory(plane, before)


def test_an_odd_frame_grows_by_copies_of_its_last_line_and_column() -> None:
    frame = decoded("yuv420p", 97, 65)
    luma = plane_views(planar_copy(frame, CONVERTER))[0]
    assert np.array_equal(luma[:65, :97], plane_views(frame)[0])
    assert np.array_equal(luma[65], luma[64])
    assert np.array_equal(luma[:, 97], luma[:, 96])


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (0, -1, 1, 0), (-1, 0, 0, -1), (-1, 0, 0, 1)])
def test_a_turned_frame_comes_upright(matrix: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colour, "display_matrix", lambda frame: matrix)
    frame = decoded("yuv420p")
    copy = planar_copy(frame, CONVERTER)
    width, height = (64, 96) if matrix[1] else (96, 64)
    assert (copy.width, copy.height) == (width, height)
    for plane, before in zip(plane_views(copy), plane_views(frame), strict=True):
        assert np.array_equal(plane, colour.upright(before, frame))


@pytest.mark.parametrize(
    ("height", "tags", "expected"),
    [
        (64, (2, 2, 2), (6, 6, 6)),
        (720, (2, 2, 2), (1, 1, 1)),
        (64, (1, 2, 2), (1, 1, 1)),
        (720, (5, 5, 6), (5, 5, 6)),
        (720, (9, 9, 14), (9, 9, 14)),
    ],
)
def test_tags_are_the_source_s_and_where_it_has_none_those_that_players_assume(
    height: int, tags: tuple[int, int, int], expected: tuple[int, int, int]
) -> None:
    frame = VideoFrame(64, height, "yuv420p")
    frame.colorspace, frame.color_primaries, frame.color_trc = tags
    copy = planar_copy(frame, CONVERTER)
    assert (copy.colorspace, copy.color_primaries, copy.color_trc) == expected
    assert copy.color_range == ColorRange.MPEG


def test_an_image_becomes_what_opencv_makes_of_it() -> None:
    image = smooth(96, 64)
    theirs = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420))  # by BT.601, limited
    luma, *chroma = plane_views(planar(image, CONVERTER))
    assert np.abs(luma.astype(int) - theirs[:64]).max() <= 1
    for ours, other in zip(chroma, theirs[64:].reshape(2, 32, 48), strict=True):
        assert np.abs(ours.astype(int) - other).max() <= 2


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("matrix", "rgb", "limited"),
    [
        (1, (255, 255, 255), (235, 128, 128)),
        (5, (0, 0, 0), (16, 128, 128)),
        (5, (255, 0, 0), (81, 90, 240)),  # ITU-R BT.601
        (1, (0, 0, 255), (32, 240, 118)),  # ITU-R BT.709
    ],
)
def test_colours_are_those_of_the_recommendations(
    matrix: int, rgb: tuple[int, int, int], limited: tuple[int, int, int], full: bool
) -> None:
    values: npt.NDArray[np.float64] = np.array(limited, float)
    if full:
        values = (values - (16, 128, 128)) * (255 / 219, 255 / 224, 255 / 224) + (0, 128, 128)
    assert PlanarColours(matrix, full).of_rgb(np.array([rgb]))[0] == pytest.approx(np.clip(values, 0, 255), abs=1)
