from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from msflow_stream.datasets import images
from msflow_stream.datasets.images import load_image, load_images, load_mask
from msflow_stream.types import UserError
from msflow_stream.video.reading.image_folder import read_image

HEIGHT, WIDTH = 5, 7
COLOURS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
GREY = COLOURS[:, :, 0]
ORIENTATION = 0x0112

Patch = pytest.MonkeyPatch


def saved(path: Path, array: npt.NDArray[np.generic], mode: str | None = None, **options: Any) -> Path:
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def in_three(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.stack([grey, grey, grey], axis=2)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif", ".tiff"])
def test_colours_come_as_they_are_stored(tmp_path: Path, suffix: str) -> None:
    image = load_image(saved(tmp_path / f"image{suffix}", COLOURS))
    assert image.dtype == np.uint8
    assert np.array_equal(image, COLOURS)


def test_grey_is_repeated(tmp_path: Path) -> None:
    assert np.array_equal(load_image(saved(tmp_path / "image.png", GREY)), in_three(GREY))
    black_and_white = GREY > 127
    image = load_image(saved(tmp_path / "bits.png", black_and_white))
    assert np.array_equal(image, in_three(np.where(black_and_white, 255, 0).astype(np.uint8)))


def test_alpha_is_dropped_and_the_colours_under_it_stay(tmp_path: Path) -> None:
    alpha = np.full((HEIGHT, WIDTH, 1), 3, np.uint8)
    image = load_image(saved(tmp_path / "image.png", np.concatenate([COLOURS, alpha], axis=2)))
    assert np.array_equal(image, COLOURS)


@pytest.mark.filterwarnings("error")
def test_a_palette_is_looked_up_also_where_some_of_its_colours_are_transparent(tmp_path: Path) -> None:
    palette = np.array([[9, 8, 7], [200, 100, 50], [0, 255, 1]], np.uint8)
    indices = (GREY % 3).astype(np.uint8)
    image = Image.fromarray(indices, "P")
    image.putpalette(palette.tobytes())
    image.save(tmp_path / "opaque.png")
    image.save(tmp_path / "transparent.png", transparency=b"\x00\x80\xff")
    for name in ("opaque.png", "transparent.png"):
        with Image.open(tmp_path / name) as stored:
            assert stored.mode == "P"
        assert np.array_equal(load_image(tmp_path / name), palette[indices])


def test_inks_become_light(tmp_path: Path) -> None:
    inks = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    inks[:, 1, 0] = 255  # cyan: all light but red
    inks[:, 2, 3] = 255  # black
    image = Image.fromarray(inks, "CMYK")
    image.save(tmp_path / "image.tif")
    assert load_image(tmp_path / "image.tif")[0, :3].tolist() == [[255, 255, 255], [0, 255, 255], [0, 0, 0]]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_of_grey_keep_their_full_range(tmp_path: Path, suffix: str) -> None:
    stored = np.array([[0, 128, 129, 257, 30000, 65406, 65407, 65535]], np.uint16)
    image = load_image(saved(tmp_path / f"image{suffix}", stored))
    # 128/257 = 0.498, 129/257 = 0.502, 30000/257 = 116.73, 65406/257 = 254.498, 65407/257 = 254.502
    assert image[0, :, 0].tolist() == [0, 0, 1, 1, 117, 254, 255, 255]
    assert np.array_equal(image, in_three(image[:, :, 0]))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_of_colour_keep_their_full_range(tmp_path: Path, suffix: str) -> None:
    stored = COLOURS.astype(np.uint16) * 257
    assert cv2.imwrite(str(tmp_path / f"image{suffix}"), stored[:, :, ::-1])
    assert np.array_equal(load_image(tmp_path / f"image{suffix}"), COLOURS)


def test_a_dark_image_of_sixteen_bits_is_not_stretched(tmp_path: Path) -> None:
    assert load_image(saved(tmp_path / "image.png", np.full((2, 2), 514, np.uint16))).max() == 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0.25, 0.5, 1], [0, 64, 128, 255]),
        ([-0.05, 0.5, 1, 1.05], [0, 128, 255, 255]),  # resampling overshoots
        ([0, 0.4, 99.6, 255], [0, 0, 100, 255]),
        ([-3, 0, 255, 258], [0, 0, 255, 255]),
    ],
)
def test_floats_have_their_white_at_1_or_at_255(tmp_path: Path, values: list[float], expected: list[int]) -> None:
    image = load_image(saved(tmp_path / "image.tif", np.array([values], np.float32)))
    assert image[0, :, 0].tolist() == expected


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, -1.0, 1.5, 4095.0])
def test_floats_that_do_not_say_what_is_white_are_refused(tmp_path: Path, odd: float) -> None:
    with pytest.raises(UserError, match=r"image\.tif: values from .* do not say what is white") as error:
        load_image(saved(tmp_path / "image.tif", np.array([[0, 0.5, odd]], np.float32)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("odd", [-1, 65536])
def test_integers_beyond_sixteen_bits_are_refused(tmp_path: Path, odd: int) -> None:
    with pytest.raises(UserError, match=rf"image\.tif: values from .*{odd}.*; export it with 8 or 16 bits"):
        load_image(saved(tmp_path / "image.tif", np.array([[0, 3, odd]], np.int32)))


# What is drawn with each orientation of the EXIF standard: how the stored rows and columns are to be turned.
TURNS: dict[int, Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_an_image_and_its_mask_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    upright = TURNS[orientation](COLOURS)
    assert np.array_equal(load_image(saved(tmp_path / "image.png", COLOURS, exif=exif)), upright)
    marked = np.where(COLOURS > 127, 255, 0).astype(np.uint8)
    mask = load_mask(saved(tmp_path / "mask.png", marked, exif=exif), upright.shape[:2])
    assert np.array_equal(mask, TURNS[orientation](marked).any(axis=2))


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.jpg", None), ("a.png", "L"), ("a.png", "P"), ("a.webp", None), ("a.png", "I;16"), ("a.tif", "1")],
)
def test_a_still_is_the_same_picture_as_in_a_folder_of_frames(tmp_path: Path, name: str, mode: str | None) -> None:
    path = tmp_path / name
    if mode == "I;16":
        saved(path, GREY.astype(np.uint16) * 200)
    else:
        saved(path, COLOURS, mode)
    assert np.array_equal(load_image(path), read_image(path))


def cut(path: Path) -> None:
    saved(path, np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:-4000])


BROKEN: dict[str, Callable[[Path], object]] = {
    "cut": cut,
    "empty": Path.touch,
    "text": lambda path: path.write_text("no image\n"),
    "folder": Path.mkdir,
    "missing": lambda path: None,
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_named_in_one_line(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "image.png"
    make(path)
    for load in (load_image, lambda path: load_mask(path, (2, 2))):
        with pytest.raises(UserError) as error:
            load(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_a_bomb_is_not_decoded(tmp_path: Path, monkeypatch: Patch) -> None:
    path = saved(tmp_path / "image.png", COLOURS)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 2 - 1)  # Pillow refuses twice as many
    with pytest.raises(UserError, match=r"image\.png: more pixels"):
        load_image(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=60)
@given(
    st.sampled_from(["png", "jpg", "bmp"]), st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), min_size=1)
)
def test_a_damaged_file_gives_an_image_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, damage: list[tuple[int, int]]
) -> None:
    path = saved(tmp_path_factory.getbasetemp() / f"damaged.{suffix}", COLOURS)
    content = bytearray(path.read_bytes())
    for position, value in damage:
        content[position % len(content)] = value
    path.write_bytes(bytes(content))
    with pytest.MonkeyPatch.context() as patch, suppress(UserError):
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)  # a damaged size costs no memory
        assert load_image(path).shape[2:] == (3,)


MARKED = GREY > 127


def stored_mask(path: Path) -> Path:
    """MARKED as an image of the mode the file is named after, each marked pixel as faint as the mode allows."""
    mode = path.stem
    if mode == "palette":  # 0 is white here
        image = Image.fromarray(np.where(MARKED, 0, 1).astype(np.uint8), "P")
        image.putpalette([255, 255, 255, 0, 0, 0])
        image.save(path)
    elif mode in ("RGB", "RGBA"):
        pixels = np.zeros((HEIGHT, WIDTH, len(mode)), np.uint8)
        pixels[MARKED, 2] = 1
        pixels[..., 3:] = 255
        saved(path, pixels)
    elif mode == "transparent":  # white everywhere, but only to be seen where it is marked
        pixels = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
        pixels[~MARKED, 3] = 0
        saved(path, pixels)
    else:
        kind = {"1": np.bool_, "L": np.uint8, "I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        saved(path, MARKED.astype(kind))
    return path


@pytest.mark.parametrize(
    "mode", ["1.png", "L.png", "I;16.png", "I.tif", "F.tif", "palette.png", "RGB.png", "RGBA.png", "transparent.png"]
)
def test_a_mask_of_any_mode_marks_what_is_not_black(tmp_path: Path, mode: str) -> None:
    mask = load_mask(stored_mask(tmp_path / mode), (HEIGHT, WIDTH))
    assert mask.dtype == bool
    assert np.array_equal(mask, MARKED)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_a_mask_may_be_an_array(tmp_path: Path, kind: type) -> None:
    np.save(tmp_path / "mask.npy", MARKED.astype(kind))
    assert np.array_equal(load_mask(tmp_path / "mask.npy", (HEIGHT, WIDTH)), MARKED)


@pytest.mark.parametrize("array", [np.zeros(4), np.zeros((1, 2, 2)), np.zeros((0, 2)), np.array([["a"]])])
def test_an_array_of_another_shape_or_kind_is_no_mask(tmp_path: Path, array: npt.NDArray[np.generic]) -> None:
    np.save(tmp_path / "mask.npy", array)
    with pytest.raises(UserError, match=r"mask\.npy should hold a mask H x W, it holds"):
        load_mask(tmp_path / "mask.npy", (2, 2))


def test_an_array_is_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.array([[0, None]], object), allow_pickle=True)
    with pytest.raises(UserError, match=r"mask\.npy is not a \.npy file of numbers"):
        load_mask(tmp_path / "mask.npy", (1, 2))


@given(st.integers(1, 4), st.integers(1, 4))
def test_an_enlarged_mask_repeats_its_pixels(tmp_path_factory: pytest.TempPathFactory, down: int, across: int) -> None:
    path = saved(tmp_path_factory.getbasetemp() / "mask.png", MARKED)
    assert np.array_equal(
        load_mask(path, (HEIGHT * down, WIDTH * across)), np.kron(MARKED, np.ones((down, across), bool))
    )


def test_a_shrunken_mask_picks_pixels_and_mixes_none(tmp_path: Path) -> None:
    mask = np.random.default_rng(1).integers(0, 2, (12, 18)).astype(np.uint8)
    assert np.array_equal(load_mask(saved(tmp_path / "mask.png", mask), (4, 6)), mask[::3, ::3] != 0)


def numbered(folder: Path, number: int) -> list[Path]:
    return [saved(folder / f"{value}.png", np.full((2, 2), value, np.uint8)) for value in range(number)]


def shade(path: Path) -> npt.NDArray[np.uint8]:
    return np.full((1, 1, 3), int(path.stem), np.uint8)


@pytest.mark.parametrize("workers", [1, 2, 5, 40])
def test_images_come_in_order_whatever_the_workers(tmp_path: Path, workers: int) -> None:
    assert [int(image[0, 0, 0]) for image in load_images(numbered(tmp_path, 17), workers)] == list(range(17))


def test_images_come_in_order_when_a_later_one_is_loaded_first(monkeypatch: Patch) -> None:
    later = threading.Event()

    def load(path: Path) -> npt.NDArray[np.uint8]:
        if path.stem == "0":
            assert later.wait(30)
        else:
            later.set()
        return shade(path)

    monkeypatch.setattr(images, "load_image", load)
    assert [int(image[0, 0, 0]) for image in load_images([Path("0.png"), Path("1.png")], 2)] == [0, 1]


def test_as_many_images_as_workers_load_at_the_same_time(monkeypatch: Patch) -> None:
    together = threading.Barrier(3, timeout=30)

    def load(path: Path) -> npt.NDArray[np.uint8]:
        together.wait()
        return shade(path)

    monkeypatch.setattr(images, "load_image", load)
    assert len(list(load_images([Path(f"{number}.png") for number in range(9)], 3))) == 9


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_than_two_images_per_worker_are_loaded_ahead(monkeypatch: Patch, workers: int) -> None:
    asked: list[int] = []

    def paths() -> Iterator[Path]:
        for number in count():
            asked.append(number)
            yield Path(f"{number % 256}.png")

    monkeypatch.setattr(images, "load_image", shade)
    loaded = load_images(paths(), workers)
    assert not asked
    for taken in range(1, 40):
        next(loaded)
        assert len(asked) == taken + 2 * workers
    loaded.close()  # type: ignore[attr-defined]  # a generator


def test_a_broken_image_raises_at_its_turn(tmp_path: Path) -> None:
    paths = numbered(tmp_path, 8)
    paths[5].write_bytes(b"no image")
    loaded = load_images(paths, 3)
    assert [int(image[0, 0, 0]) for image in islice(loaded, 5)] == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match=r"5\.png: not an image"):
        next(loaded)


def loaders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("load-images")]


def test_no_thread_outlives_the_loading(tmp_path: Path) -> None:
    paths = numbered(tmp_path, 8)
    loaded = load_images(paths, 2)
    next(loaded)
    assert loaders()
    loaded.close()  # type: ignore[attr-defined]  # a generator
    assert not loaders()
    assert len(list(load_images(paths, 2))) == 8
    assert not loaders()


def test_no_images_are_no_error_but_no_workers_are() -> None:
    assert list(load_images([], 2)) == []
    with pytest.raises(ValueError, match="workers must be at least 1, not 0"):
        load_images([], 0)
