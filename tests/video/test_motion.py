"""Motion by drawn textures whose motion is known, and what must not read as motion."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from msflow_stream.types import Earlier
from msflow_stream.video.motion import CELL, MOTION_SIZE, PLACES, grey, motion_field

Image = npt.NDArray[np.float32]  # H W at MOTION_SIZE, grey levels

HEIGHT, WIDTH = MOTION_SIZE
SECONDS = 0.08
WALK = 3.0  # pixels in SECONDS


def texture(height: int, width: int, seed: int, grain: float = 3.0, mean: float = 110, contrast: float = 35) -> Image:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(height, width)), (0, 0), grain)
    return np.clip(mean + contrast * noise / noise.std(), 20, 235).astype(np.float32)


GROUND = texture(HEIGHT + 80, WIDTH + 80, 0)


def view(right: float = 0.0, down: float = 0.0) -> Image:
    """The static background, with the whole view shifted."""
    matrix = np.array([[1, 0, right - 40], [0, 1, down - 40]], np.float32)
    return np.asarray(cv2.warpAffine(GROUND, matrix, (WIDTH, HEIGHT)), np.float32)


def with_block(image: Image, x: float, y: float, width: int = 40, height: int = 60, seed: int = 9) -> Image:
    """An image with a textured block whose upper left corner is at x, y."""
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    block, whole = texture(height, width, seed, 2.0, 150, 40), np.ones((height, width), np.float32)
    drawn, share = (cv2.warpAffine(one, matrix, (WIDTH, HEIGHT)) for one in (block, whole))
    return np.asarray(image * (1 - share) + drawn, np.float32)


def pixels(image: Image) -> npt.NDArray[np.uint8]:
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def field(earlier: Image, now: Image, seconds: float = SECONDS, aspect: float = HEIGHT / WIDTH) -> Image | None:
    return motion_field(pixels(now), Earlier(pixels(earlier), seconds), aspect)


def speeds(found: Image | None) -> Image:
    """PLACES, widths per second."""
    assert found is not None
    return np.asarray(np.hypot(found[..., 0], found[..., 1]), np.float32)


def most(found: Image | None) -> float:
    """The mean speed of the fastest half per cent of the places."""
    return float(np.sort(speeds(found).ravel())[-8:].mean())


def walking(ground: Image | None = None, right: float = WALK) -> tuple[Image, Image]:
    ground = view() if ground is None else ground
    return with_block(ground, 150, 80), with_block(ground, 150 + right, 80)


@pytest.mark.parametrize("moved", [(2, 0), (4, 0), (8, 0), (-6, 3), (0, 5), (3, -3)])
def test_a_block_has_its_velocity_and_nothing_else_any(moved: tuple[int, int]) -> None:
    right, down = moved
    found = field(with_block(view(), 150, 80), with_block(view(), 150 + right, 80 + down))
    assert found is not None
    row, column = (80 + down + 30) // CELL, (150 + right + 20) // CELL
    expected = np.array(moved) / WIDTH / SECONDS
    assert np.abs(found[row - 1 : row + 2, column, :2] - expected).max() < 0.1 * np.hypot(*expected)
    assert found[row - 1 : row + 2, column, 2] == pytest.approx(1)
    around = np.ones(PLACES, bool)
    around[80 // CELL - 3 : 140 // CELL + 4, 150 // CELL - 3 : 190 // CELL + 4] = False
    assert not found[around].any()


@pytest.mark.parametrize("seconds", [0.04, 0.1, 0.2])
def test_a_velocity_is_by_the_time_between_and_by_the_source_s_width(seconds: float) -> None:
    before, now = with_block(view(), 150, 80), with_block(view(), 154, 83)
    expected, found = field(before, now), field(before, now, seconds, aspect=9 / 16)
    assert expected is not None
    assert found is not None
    assert found[..., 0] * seconds == pytest.approx(expected[..., 0] * SECONDS, abs=1e-6)
    assert found[..., 1] * seconds * (HEIGHT / WIDTH) == pytest.approx(expected[..., 1] * SECONDS * 9 / 16, abs=1e-6)


@pytest.mark.parametrize("size", [(480, 720), (720, 1280), (1080, 1920)])
def test_a_velocity_does_not_depend_on_the_source_s_size(size: tuple[int, int]) -> None:
    height, width = size

    def large(image: Image) -> npt.NDArray[np.uint8]:
        stretched = cv2.resize(pixels(image), (width, height), interpolation=cv2.INTER_CUBIC)
        return grey(np.repeat(stretched[..., None], 3, axis=2))

    before, now = walking(right=4)
    found = motion_field(large(now), Earlier(large(before), SECONDS), height / width)
    assert most(found) == pytest.approx(most(field(before, now)), rel=0.05)


def test_where_nothing_moves_everything_is_zero() -> None:
    found = field(view(), view())
    assert found is not None
    assert found.shape == (*PLACES, 3)
    assert not found.any()


@pytest.mark.parametrize("gain", [1.3, 0.7, 1.6, 0.5])
@pytest.mark.parametrize("bright", [False, True])
def test_a_step_of_brightness_is_no_motion_and_does_not_hide_any(gain: float, bright: bool) -> None:
    ground = texture(HEIGHT, WIDTH, 3, mean=180, contrast=50) if bright else view()  # much of it clips at 255
    assert most(field(ground, np.minimum(gain * ground, 255))) < 0.001
    before, now = walking(ground)
    assert most(field(before, np.minimum(gain * now, 255))) == pytest.approx(most(field(before, now)), rel=0.1)


@pytest.mark.parametrize("gamma", [0.67, 0.8, 1.25, 1.5])
def test_another_gamma_moves_by_hardly_more_than_a_tenth_of_a_walk(gamma: float) -> None:
    assert most(field(view(), 255 * (view() / 255) ** gamma)) < 0.12 * most(field(*walking()))


@pytest.mark.parametrize(
    "shift", [(1, 0), (0, 1), (2, 0), (0, 3), (3, 3), (2, -2), (0.5, 0.3), (1.4, -0.7), (2.6, 1.2), (6, 2)]
)
def test_a_shift_of_the_whole_view_is_no_motion_and_what_moves_beside_it_has_its_own(
    shift: tuple[float, float],
) -> None:
    walk, shaken = most(field(*walking(right=6))), view(*shift)
    assert most(field(view(), shaken)) < 0.04 * walk
    moved = field(with_block(view(), 150, 80), with_block(shaken, 156 + shift[0], 80 + shift[1]))
    assert most(moved) == pytest.approx(walk, rel=0.15)


@pytest.mark.parametrize("share", [0.2, 0.35, 0.55])
@pytest.mark.parametrize("right", [4, 14])
def test_around_a_lorry_that_fills_the_view_nothing_moves(share: float, right: int) -> None:
    width = int(share * WIDTH)
    found = field(*(with_block(view(), x, -5, width, HEIGHT + 10) for x in (60, 60 + right)))
    around = np.ones(PLACES, bool)
    around[:, 60 // CELL - 2 : (60 + width + right) // CELL + 3] = False
    assert not speeds(found)[around].any()
    lorry = speeds(found)[:, (60 + right) // CELL + 3 : (60 + width) // CELL - 2]
    assert np.median(lorry) == pytest.approx(right / WIDTH / SECONDS, rel=0.02)


@pytest.mark.parametrize("deviation", [3, 5, 8])
def test_noise_of_the_sensor_is_hardly_any_motion_and_does_not_hide_any(deviation: float) -> None:
    random = np.random.default_rng(1)
    still = [view() + random.normal(0, deviation, MOTION_SIZE).astype(np.float32) for _ in range(2)]
    walk = [one + random.normal(0, deviation, MOTION_SIZE).astype(np.float32) for one in walking()]
    assert most(field(*still)) < 0.03 * most(field(*walk))
    assert most(field(*walk)) == pytest.approx(most(field(*walking())), rel=0.05)


def test_flicker_of_compression_is_hardly_any_motion() -> None:
    random = np.random.default_rng(2)
    coded = []
    for _ in range(2):
        noisy = pixels(view() + random.normal(0, 2, MOTION_SIZE).astype(np.float32))
        _, data = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 30])
        coded.append(np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.float32))
    assert most(field(*coded)) < 0.03 * most(field(*walking()))


def test_snow_moves_far_less_than_a_walk() -> None:
    fallen = []
    for seed in range(2):
        random, image = np.random.default_rng(seed), view()
        for x, y in zip(random.integers(0, WIDTH - 2, 300), random.integers(0, HEIGHT - 2, 300), strict=True):
            image[y : y + 2, x : x + 2] = 240
        fallen.append(image)
    assert most(field(*fallen)) < most(field(*walking())) / 3


@pytest.mark.parametrize("now", [texture(HEIGHT, WIDTH, 77), 0 * view() + 12, 0 * view(), 0 * view() + 250])
@pytest.mark.parametrize("backwards", [False, True])
def test_after_a_cut_or_with_a_covered_lens_nobody_knows_what_moved(now: Image, backwards: bool) -> None:
    assert (field(now, view()) if backwards else field(view(), now)) is None


def smooth_image(height: int, width: int) -> np.ndarray:  # type: ignore[type-arg]
    """A wave across and down, of different strength in each colour: area means of it are known."""
    y, x = np.mgrid[:height, :width]
    wave = np.sin(2 * np.pi * (x + 0.5) / width * 3) + np.cos(2 * np.pi * (y + 0.5) / height * 2)
    return np.stack([120 + 30 * wave, 100 + 20 * wave, 90 - 10 * wave], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    "size", [(240, 360), (256, 384), (480, 856), (481, 857), (720, 1280), (1080, 1920), (1920, 1080), (90, 2000)]
)
def test_the_grey_image_shows_the_same_at_the_same_place_whatever_the_size(size: tuple[int, int]) -> None:
    wide = smooth_image(*MOTION_SIZE).astype(float)
    expected = wide @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    found = grey(smooth_image(*size))
    assert (found.shape, found.dtype) == (MOTION_SIZE, np.uint8)
    assert np.abs(found - expected).max() < 4
    assert np.abs(found - expected).mean() < 1
