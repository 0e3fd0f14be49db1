"""What frames become without an image in full: small planes in the right colours, whatever a decoder gave."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from PIL import Image as Pillow

from msflow_stream.config.settings import InputSettings
from msflow_stream.scenes.preparation import prepare
from msflow_stream.types import Frame, Image
from msflow_stream.video.motion import grey
from msflow_stream.video.pixels import DecodedPixels, sample, shrink
from msflow_stream.video.reading.colour import FrameConverter
from tests.support.videos import coded_image

# Shares of red and blue in luma, as the recommendations give them, and the number of the matrix in ITU-T H.273.
BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
MATRICES = {5: BT601, 6: BT601, 1: BT709, 9: BT2020}
UNTOLD, LIMITED, FULL = 2, 1, 2
SIZE = (64, 96)
EXACT = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND  # of the scaler's ways to RGB


def colours() -> Image:
    """64 x 96 blocks of 8 x 8 in all kinds of colours, which no chroma at half the size blurs within."""
    return np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def smooth_image(height: int, width: int) -> Image:
    """Colours that change slowly over the image, but not so slowly that a shift would not show."""
    rows, columns = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    waves = (np.sin(9 * rows + 7 * columns), np.sin(5 * rows - 11 * columns), np.cos(13 * columns))
    return np.rint(127.5 + 90 * np.stack(waves, 2)).astype(np.uint8)


def coded(image: Image, shares: tuple[float, float], full: bool, layout: str = "yuv444p") -> VideoFrame:
    """The frame of an image by the formulas of the recommendations, without libswscale."""
    kr, kb = shares
    red, green, blue = np.moveaxis(image / 255, 2, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = [(blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))]
    scale, black, width = (255, 0, 255) if full else (219, 16, 224)
    planes = [luma * scale + black, *(one * width + 128 for one in chroma)]
    values = np.rint(np.clip(planes, 0, 255)).astype(np.uint8)
    frame = VideoFrame.from_ndarray(values, format="yuv444p")
    return frame if layout == "yuv444p" else frame.reformat(format=layout)


def tagged(frame: VideoFrame, matrix: int, color_range: int) -> DecodedPixels:
    frame.colorspace, frame.color_range = matrix, color_range
    return DecodedPixels(frame, FrameConverter())


def decoded(image: Image, layout: str = "yuv420p") -> DecodedPixels:
    return tagged(coded(image, BT601, full=False, layout=layout), 5, LIMITED)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_colours_are_those_of_the_recommendations(matrix: int, full: bool) -> None:
    image = colours()
    pixels = tagged(coded(image, MATRICES[matrix], full), matrix, FULL if full else LIMITED)
    found = shrink(pixels, SIZE)
    np.testing.assert_allclose(found.rgb().astype(int), image, atol=2)
    shares = MATRICES[matrix]
    luma = image @ np.array([shares[0], 1 - sum(shares), shares[1]])
    np.testing.assert_allclose(found.grey().astype(int), luma, atol=1.5)


@pytest.mark.parametrize(("height", "shares"), [(480, BT601), (720, BT709)])
def test_colours_that_nobody_told_are_those_that_players_assume(height: int, shares: tuple[float, float]) -> None:
    image = np.full((height, 64, 3), (200, 40, 90), np.uint8)
    pixels = tagged(coded(image, shares, full=False), UNTOLD, 0)
    np.testing.assert_allclose(shrink(pixels, SIZE).rgb().astype(int), image[:64, :1].repeat(96, 1), atol=2)


LAYOUTS = (
    *("yuv420p", "yuv422p", "yuv444p", "nv12", "yuyv422"),
    *("yuv420p10le", "p010le", "yuv422p10le", "yuv444p12le"),
    *("gray", "rgb24", "gbrp", "bgra"),
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(120, 180), (64, 96), (40, 50)])
def test_every_layout_becomes_small_as_its_image_does(layout: str, size: tuple[int, int]) -> None:
    frame = VideoFrame.from_ndarray(smooth_image(128, 192), format="rgb24").reformat(format=layout)
    exact = frame.reformat(format="rgb24", interpolation=EXACT).to_ndarray().astype(np.float32)
    expected = cv2.resize(exact, size[::-1], interpolation=cv2.INTER_AREA)
    differs = np.abs(shrink(DecodedPixels(frame, FrameConverter()), size).rgb() - expected)
    assert differs.mean() < 0.8
    assert differs.max() <= 5  # where chroma at half the size is brought up in other ways


@pytest.mark.parametrize("layout", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_the_old_names_of_the_full_range_are_known(layout: str) -> None:
    image = np.full((64, 96, 3), (250, 128, 6), np.uint8)
    frame = coded(image, BT601, full=True)
    frame.color_range = FULL
    pixels = tagged(frame.reformat(format=layout), 5, 0)
    np.testing.assert_allclose(shrink(pixels, SIZE).rgb().astype(int), image, atol=2)


@pytest.mark.parametrize(("layout", "same"), [("nv12", "yuv420p"), ("p010le", "yuv420p10le")])
def test_the_layouts_of_cards_have_the_same_planes(layout: str, same: str) -> None:
    frame = VideoFrame.from_ndarray(coded_image(5, (300, 200)), format="rgb24").reformat(format=same)
    small = FrameConverter().planes
    np.testing.assert_array_equal(small(frame.reformat(format=layout), SIZE), small(frame, SIZE))


@pytest.mark.parametrize("frame_size", [(64, 96), (90, 130), (64, 200), (720, 1280), (100, 300)])
def test_pixels_are_the_means_over_their_areas(frame_size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*frame_size, 3), np.uint8)
    expected = cv2.resize(image.astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(shrink(image, SIZE).rgb(), expected, atol=0.6)


@pytest.mark.parametrize("frame_size", [(37, 51), (60, 90), (63, 300), (240, 60)])
def test_a_smaller_frame_stays_as_sharp_as_it_is(frame_size: tuple[int, int]) -> None:
    image = smooth_image(*frame_size)
    expected = np.asarray(Pillow.fromarray(image).resize(SIZE[::-1], Pillow.Resampling.LANCZOS)).astype(int)
    found = shrink(image, SIZE).rgb()
    np.testing.assert_allclose(found[4:-4, 4:-4], expected[4:-4, 4:-4], atol=1.5)  # edges are continued in other ways


def test_a_frame_and_its_image_prepare_alike() -> None:
    frame = coded(smooth_image(480, 640), BT601, full=False, layout="yuv420p")
    image = frame.reformat(format="rgb24", interpolation=EXACT).to_ndarray()
    settings = InputSettings(size=(256, 384), mean=(0, 0, 0), std=(1, 1, 1))
    found, expected = prepare(tagged(frame, 5, LIMITED), settings), prepare(np.asarray(image, np.uint8), settings)
    difference = (found - expected).abs() * 255
    assert difference.mean() < 0.6  # the image is rounded to whole levels first
    assert difference.max() < 4


def test_nobody_makes_an_image_in_full_for_what_is_wanted_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FrameConverter, "rgb", lambda *_: pytest.fail("an image in full was made"))
    pixels = decoded(colours())
    prepare(pixels, InputSettings(mean=(0, 0, 0), std=(1, 1, 1)))
    grey(pixels)
    sample(pixels)
    assert Frame("gate", 0, None, 0.0, None, pixels).shape == (64, 96, 3)


def test_threads_that_want_different_things_of_one_frame_get_what_one_alone_gets() -> None:
    frames = [decoded(smooth_image(480, 640) // (1 + index % 3), layout="nv12") for index in range(24)]
    alone = [decoded(smooth_image(480, 640) // (1 + index % 3), layout="nv12") for index in range(3)]
    expected = [(one.image(), one.planes(SIZE).values, one.planes((32, 32)).values) for one in alone]
    with ThreadPoolExecutor(6) as pool:
        jobs = [
            (pool.submit(one.image), pool.submit(one.planes, SIZE), pool.submit(one.planes, (32, 32))) for one in frames
        ]
        for index, (image, small, smaller) in enumerate(jobs):
            np.testing.assert_array_equal(image.result(), expected[index % 3][0])
            np.testing.assert_array_equal(small.result().values, expected[index % 3][1])
            np.testing.assert_array_equal(smaller.result().values, expected[index % 3][2])


def test_a_sample_is_of_the_pixels_as_they_were_decoded() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    np.testing.assert_array_equal(sample(image), image[::4, ::4])
    frame = VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(50, -1)[:, :70]
    np.testing.assert_array_equal(sample(DecodedPixels(frame, FrameConverter())), luma[::4, ::4])


def test_the_backbone_gets_unrounded_colours_within_their_limits() -> None:
    white = tagged(VideoFrame.from_ndarray(np.full((3, 64, 96), 255, np.uint8), format="yuv444p"), 1, LIMITED)
    x = prepare(white, InputSettings(size=SIZE, mean=(0, 0, 0), std=(1, 1, 1)))
    assert torch.all((x >= 0) & (x <= 1))
    assert x[0].max() == x[2].max() == 1
