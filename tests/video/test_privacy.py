"""Privacy areas: nothing of what is in them is in any image, and everything around them is as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from av.video.frame import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.types import Frame, FrameScore, Image, Motion, Pixels, Scores, Why
from msflow_stream.video.drawing.canvas import Canvas, Stain
from msflow_stream.video.drawing.overlay import Glow, OverlayStyle
from msflow_stream.video.pixels import DecodedPixels, planar, shrink
from msflow_stream.video.polygons import touched
from msflow_stream.video.privacy import MaskedPixels, PrivacyAreas
from msflow_stream.video.reading.colour import FrameConverter
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.videos import write_video

BOX = ((0.25, 0.25), (0.5, 0.25), (0.5, 0.75), (0.25, 0.75))
SLANTED = ((0.31, 0.22), (0.83, 0.41), (0.57, 0.93), (0.12, 0.66))
CORNER = ((0.9, 0.9), (1.0, 0.9), (1.0, 1.0), (0.9, 1.0))
AREAS = (BOX, SLANTED, CORNER)
LAYOUTS = ("yuv420p", "nv12", "yuv422p", "yuv444p", "yuyv422", "yuv420p10le", "p010le", "gray", "rgb24", "gbrp")
TURNS = {"as it is": None, "a quarter": (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)}
shares = st.floats(0, 1, width=32)


def bright(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(90, 256, (height, width, 3), np.uint8)


def covered(height: int, width: int, margin: int = 0) -> npt.NDArray[np.bool_]:
    """The pixels that an area touches, and so many around them."""
    mask = np.any([touched(area, (height, width)) for area in AREAS], axis=0)
    for _ in range(margin):
        padded = np.pad(mask, 1)
        mask = np.any([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    return mask


def masked(pixels: Image | Pixels) -> MaskedPixels:
    return MaskedPixels(pixels, AREAS, FrameConverter())


def decoded(image: Image, layout: str, color_range: int = 1) -> DecodedPixels:
    frame = VideoFrame.from_ndarray(image, format="rgb24").reformat(format=layout, dst_color_range=color_range)
    frame.color_range = color_range
    return DecodedPixels(frame, FrameConverter())


def same_but_hidden(image: Image, layout: str) -> DecodedPixels:
    """The image as it is decoded, with something else in the areas."""
    pixels = decoded(image, layout)
    values = pixels.frame.to_ndarray()
    other = decoded(255 - image, layout).frame.to_ndarray()
    height, width = image.shape[:2]
    blocks = touched_blocks(height // 2, width // 2)
    whole = blocks.repeat(2, 0).repeat(2, 1)
    if layout.startswith("yuv420p"):
        chroma = blocks.reshape(-1, width)
        values = np.where(np.vstack([whole, chroma, chroma]), other, values)
    else:
        values = np.where(whole[:, :, None] if layout == "rgb24" else whole, other, values)
    frame = VideoFrame.from_ndarray(values, format=layout)
    frame.color_range = 1
    return DecodedPixels(frame, FrameConverter())


def touched_blocks(rows: int, columns: int) -> npt.NDArray[np.bool_]:
    return np.any([touched(area, (2 * rows, 2 * columns), 2) for area in AREAS], axis=0)


@given(st.lists(st.tuples(shares, shares), min_size=3, max_size=6), st.integers(1, 3))
@settings(max_examples=60)
def test_whatever_an_area_touches_is_covered_and_little_else(polygon: list[tuple[float, float]], cell: int) -> None:
    height, width = 23, 31
    fine = 16  # points to a pixel's side
    found = touched(polygon, (height, width), cell).repeat(cell, 0).repeat(cell, 1)[:height, :width]
    points = touched_points(polygon, (height * fine, width * fine)).reshape(height, fine, width, fine).any((1, 3))
    assert found[points].all()
    cells = np.pad(points, ((0, -height % cell), (0, -width % cell)))
    cells = cells.reshape(cells.shape[0] // cell, cell, cells.shape[1] // cell, cell).any((1, 3))
    reach = np.pad(cells, 1)
    near = np.any([reach[y : y + cells.shape[0], x : x + cells.shape[1]] for y in range(3) for x in range(3)], axis=0)
    long = max(np.hypot(*np.subtract(one, other)) for one in polygon for other in polygon)
    if points.any() and long > 0:  # a sliver may lie between the points
        assert found[~near.repeat(cell, 0).repeat(cell, 1)[:height, :width]].sum() <= 2 * (height + width) * len(
            polygon
        )


def touched_points(polygon: list[tuple[float, float]], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Whether the point in each pixel's middle is inside, by the number of edges that are crossed on the way there."""
    ys, xs = ((np.arange(side) + 0.5) / side for side in size)
    result = np.zeros(size, np.bool_)
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        crosses = (y0 <= ys) != (y1 <= ys)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = x0 + (ys - y0) * (x1 - x0) / (y1 - y0)
        result ^= crosses[:, None] & (xs > at[:, None])
    return result


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(96, 128), (61, 83)])
def test_areas_are_black_and_the_rest_is_as_it_was(layout: str, size: tuple[int, int]) -> None:
    pixels = decoded(bright(*size), layout)
    hidden, around = covered(*size), ~covered(*size, margin=3)
    image = masked(pixels).image()
    assert not image[hidden].any()
    np.testing.assert_array_equal(image[around], pixels.image()[around])
    coded = planar(masked(pixels), FrameConverter())
    seen = coded.to_ndarray(format="rgb24")[: size[0], : size[1]]
    assert seen[hidden].max() <= 1
    before = planar(pixels, FrameConverter()).to_ndarray()
    assert (coded.to_ndarray() != before).mean() < covered(*size, margin=3).mean()


@pytest.mark.parametrize("color_range", [1, 2], ids=["limited", "full"])
def test_black_is_that_of_the_range(color_range: int) -> None:
    frame = planar(masked(decoded(bright(64, 96), "yuv420p", color_range)), FrameConverter())
    luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)[:64, :96]
    assert set(luma[covered(64, 96)].tolist()) == {16 if color_range == 1 else 0}
    assert frame.to_ndarray(format="rgb24")[covered(64, 96)].max() == 0


@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p", "yuv420p10le", "rgb24"])
@pytest.mark.parametrize("size", [(24, 32), (41, 57), (96, 128), (130, 150)])
def test_nothing_of_an_area_is_in_what_is_small_or_coded(layout: str, size: tuple[int, int]) -> None:
    image = bright(96, 128)
    one, other = masked(decoded(image, layout)), masked(same_but_hidden(image, layout))
    small = shrink(one, size)
    np.testing.assert_array_equal(small.values, shrink(other, size).values)
    np.testing.assert_array_equal(one.planar().to_ndarray(), other.planar().to_ndarray())
    assert small.rgb()[covered(*size)].max() <= 1
    clear = shrink(decoded(image, layout), size).rgb().astype(int)
    far = ~covered(*size, margin=4)
    if layout != "yuv444p":  # of which noise in chroma is lost with half of its size
        assert np.abs(small.rgb()[far] - clear[far]).mean() < 2


@pytest.mark.parametrize("turn", TURNS)
def test_areas_are_places_of_the_frame_as_it_is_shown(turn: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "one.mp4", images=[bright(64, 96)], matrix=TURNS[turn])
    with VideoReader(path) as reader:
        frame = PrivacyAreas(AREAS).shown(next(iter(reader)))
    height, width = frame.shape[:2]
    assert (height, width) == ((64, 96) if turn == "as it is" else (96, 64))
    hidden = covered(height, width)
    assert not frame.image[hidden].any()
    assert planar(frame.pixels, FrameConverter()).to_ndarray(format="rgb24")[hidden].max() <= 1
    assert shrink(frame.pixels, (height // 2, width // 2)).rgb()[covered(height // 2, width // 2)].max() <= 1
    assert frame.image[~covered(height, width, margin=2)].min() > 20


def test_an_image_that_was_never_coded_is_masked_and_stays_as_it_is() -> None:
    image = bright(64, 96)
    before = image.copy()
    frame = PrivacyAreas(AREAS).shown(Frame("a", 0, 0, 0.0, None, image))
    assert not frame.image[covered(64, 96)].any()
    np.testing.assert_array_equal(frame.image[~covered(64, 96, margin=2)], image[~covered(64, 96, margin=2)])
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("size", [(48, 64), (61, 83), (200, 260)])
@pytest.mark.parametrize("map_size", [(16, 24), (64, 96)])
def test_no_heat_is_drawn_in_an_area(size: tuple[int, int], map_size: tuple[int, int]) -> None:
    moved = Motion(0.3, 0.0, 0.1, 0.4, 0.4)
    why = Why(1.0, 3.0, 0.1, moved)
    score = FrameScore("a", "s", 0, 0.0, None, Scores(1, 1, 1), np.ones(map_size, np.float16), why=why)
    areas = PrivacyAreas(AREAS)
    drawn = areas.drawn(score, (*size, 3))
    assert drawn.why is not None
    assert drawn.why.moved is None  # no arrow shows how something moves there
    assert (score.map == 1).all()
    style = OverlayStyle(low=0.1, high=0.9)
    glow, clear = (Glow(style)(one.map, size[1], size[0]) for one in (drawn, score))
    assert not glowing(glow, size)[covered(*size)].any()
    assert glowing(clear, size)[covered(*size)].all()


def glowing(stain: Stain | None, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    assert stain is not None
    image = np.zeros((*size, 3), np.uint8)
    stain.lay(Canvas.of_image(image))
    return image.any(2)


def test_what_moves_outside_keeps_its_arrow() -> None:
    why = Why(1.0, 3.0, 0.1, Motion(0.3, 0.0, 0.1, 0.05, 0.95))
    score = FrameScore("a", "s", 0, 0.0, None, Scores(1, 1, 1), np.ones((16, 24), np.float16), why=why)
    assert PrivacyAreas((BOX,)).drawn(score, (48, 64, 3)).why == why
