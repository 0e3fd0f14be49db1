"""Drawing on luma and chroma, beside the same drawing on RGB."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.types import FrameScore, Motion, Scores, Why
from msflow_stream.video.drawing.canvas import Box, Canvas, Stain, halved
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle
from msflow_stream.video.pixels import DecodedPixels
from msflow_stream.video.planar import PlanarColours, plane_views
from msflow_stream.video.reading.colour import FrameConverter

STYLE = OverlayStyle(low=1.0, high=3.0, threshold=0.6, history=10.0, parts=True)
TAGS = [(1, False), (5, False), (6, True), (1, True), (9, False)]
CONVERTER = FrameConverter()


def scored() -> FrameScore:
    rows, columns = (np.mgrid[:64, :64] + 0.5) / 64
    glow = 4 * np.exp(-((columns - 0.4) ** 2 + (rows - 0.5) ** 2) / (2 * 0.1**2))
    why = Why(0.1, 6.0, 0.0, Motion(0.3, 0.1, 0.03, 0.6, 0.4))
    return FrameScore("door", "hall", 0, 0.0, None, Scores(0.9, 0.0, 0.0), glow.astype(np.float16), why=why)


def decoded(width: int, height: int, matrix: int, full: bool) -> DecodedPixels:
    """A frame of smooth colours, as a decoder might give it."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    frame = VideoFrame(width, height, "yuv420p")
    luma, *chroma = plane_views(frame)
    luma[:] = 60 + 120 * columns / width
    for plane, values in zip(chroma, (rows, columns), strict=True):
        plane[:] = 100 + 56 * values[::2, ::2] / max(width, height)
    frame.colorspace = matrix
    frame.color_range = ColorRange.JPEG if full else ColorRange.MPEG
    return DecodedPixels(frame, CONVERTER)


def rgb(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    return FrameConverter().rgb(frame)


@pytest.mark.parametrize(("matrix", "full"), TAGS)
@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (334, 252)])
def test_an_overlay_drawn_on_luma_and_chroma_looks_as_if_drawn_on_rgb(
    matrix: int, full: bool, width: int, height: int
) -> None:
    pixels, score = decoded(width, height, matrix, full), scored()
    planar, plain = Overlay(STYLE), Overlay(STYLE)
    for index in range(4):
        value, time = 0.2 + 0.2 * index, 3 * index + 0.25
        drawn = planar.draw_planar(pixels, score, value, time, alarm=index > 1)
        expected = plain.draw(pixels.image(), score, value, time, alarm=index > 1)
    difference = np.abs(rgb(drawn).astype(int) - expected)
    assert difference.mean() < 1.5
    assert np.percentile(difference, 99) < 40, "only at the edges of what has colour, where chroma is coarser"
    # As an encoder would have made it of the RGB drawing: luma is the same to a few levels, chroma nearly everywhere.
    converted = CONVERTER.of_image(expected, hd=matrix == 1)
    if (matrix, full) in [(1, False), (5, False)]:
        luma, *chroma = zip(plane_views(drawn), plane_views(converted), strict=True)
        assert np.abs(luma[0].astype(int) - luma[1]).max() <= 6
        for ours, theirs in chroma:
            assert np.percentile(np.abs(ours.astype(int) - theirs), 99) <= 6


def test_what_nothing_is_drawn_on_stays_to_the_bit() -> None:
    pixels = decoded(640, 480, 1, False)
    drawn = Overlay(STYLE).draw_planar(pixels, scored(), 0.2, 0.0, alarm=False)
    for plane, before in zip(plane_views(drawn), plane_views(pixels.frame), strict=True):
        height, width = plane.shape
        far = np.s_[height // 8 : height // 5, : width * 9 // 10]
        assert np.array_equal(plane[far], before[far])


def test_the_decoded_frame_is_not_touched() -> None:
    pixels = decoded(640, 480, 1, False)
    before = [plane.copy() for plane in plane_views(pixels.frame)]
    Overlay(STYLE).draw_planar(pixels, scored(), 0.9, 0.0, alarm=True)
    for plane, other in zip(plane_views(pixels.frame), before, strict=True):
        assert np.array_equal(plane, other)


@pytest.mark.parametrize(("matrix", "full"), TAGS)
def test_a_colour_laid_on_planes_comes_out_as_that_colour(matrix: int, full: bool) -> None:
    pixels = decoded(64, 48, matrix, full)
    frame = pixels.planar()
    Stain(Box(0, 0, 64, 48), (200, 60, 30)).lay(Canvas.of_frame(frame))
    assert np.abs(rgb(frame).astype(int) - (200, 60, 30)).max() <= 3


@given(
    x=st.integers(0, 20),
    y=st.integers(0, 20),
    width=st.integers(1, 20),
    height=st.integers(1, 20),
    level=st.integers(0, 255),
)
@settings(deadline=None)
def test_half_of_a_box_has_the_same_sum_at_a_quarter(x: int, y: int, width: int, height: int, level: int) -> None:
    box = Box(x, y, width, height)
    whole = np.zeros((40, 40), np.uint8)
    box.of(whole)[:] = level
    half = np.zeros((20, 20), np.uint8)
    box.halved().of(half)[:] = halved(np.ascontiguousarray(box.of(whole)), box)
    expected = whole.reshape(20, 2, 20, 2).mean(axis=(1, 3))
    assert np.abs(half - expected).max() <= 0.5


@given(colour=st.tuples(*[st.integers(0, 255)] * 3), opacity=st.integers(0, 255), matrix=st.sampled_from(TAGS))
@settings(deadline=None)
def test_a_stain_on_planes_is_the_stain_on_rgb(
    colour: tuple[int, int, int], opacity: int, matrix: tuple[int, bool]
) -> None:
    image = np.full((16, 16, 3), (90, 120, 150), np.uint8)
    colours = PlanarColours(*matrix)
    planes = colours.of_rgb(image[0, :1])[0]
    canvas = Canvas(
        (16, 16),
        tuple(np.full((16 // n, 16 // n), v, np.uint8) for n, v in zip((1, 2, 2), planes, strict=True)),
        colours,
    )
    stain = Stain(Box(3, 5, 9, 8), colour, np.full((8, 9), opacity, np.uint8))
    stain.lay(canvas)
    stain.lay(Canvas.of_image(image))
    inner = np.array([plane[plane.shape[0] // 2, plane.shape[1] // 2] for plane in canvas.planes], int)
    assert np.abs(inner - colours.of_rgb(image[8, 8:9])[0]).max() <= 2
    assert np.array_equal(canvas.planes[0][0], np.full(16, planes[0]))
