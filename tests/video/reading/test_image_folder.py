from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from msflow_stream.types import UserError
from msflow_stream.video.reading.image_folder import ImageFolderReader, natural_order, read_image
from tests.support import data
from tests.support.videos import coded_image, read_code


def write_folder(folder: Path, count: int, suffix: str = ".jpg") -> Path:
    folder.mkdir()
    for index in range(count):
        Image.fromarray(coded_image(index)).save(folder / f"{index}{suffix}")
    return folder


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("every", [1, 5])
def test_images_come_in_the_order_of_their_numbers(suffix: str, every: int, tmp_path: Path) -> None:
    with ImageFolderReader(write_folder(tmp_path / "scene", 12, suffix), every) as reader:
        frames = list(reader)
    assert [frame.index for frame in frames] == list(range(0, 12, every))
    assert [read_code(frame.image) for frame in frames] == list(range(0, 12, every))
    assert (reader.frames_read, reader.damaged) == (12, 0)


def test_time_and_pts_follow_from_the_given_rate(tmp_path: Path) -> None:
    with ImageFolderReader(write_folder(tmp_path / "scene", 4), rate=Fraction(10)) as reader:
        info, frames = reader.info, list(reader)
    assert [(frame.pts, frame.time) for frame in frames] == [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3)]
    assert (info.name, info.width, info.height, info.frames, info.live) == ("scene", 64, 48, 4, False)
    assert (info.rate, info.time_base, info.duration, info.start_pts) == (Fraction(10), Fraction(1, 10), 0.4, 0)


def test_grey_and_sixteen_bit_images_become_rgb_of_eight_bits(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "8.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(np.stack([ramp] * 4, axis=2), mode=None).save(tmp_path / "alpha.png")
    for name in ("8.png", "16.png", "alpha.png"):
        image = read_image(tmp_path / name)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        np.testing.assert_array_equal(image, np.repeat(ramp[:, :, None], 3, axis=2))


def test_a_photo_turned_by_its_exif_tag_is_shown_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise to be upright
    Image.fromarray(np.rot90(coded_image(9))).save(tmp_path / "1.jpg", exif=exif)
    with ImageFolderReader(tmp_path) as reader:
        assert (reader.info.width, reader.info.height) == (64, 48)
        assert [read_code(frame.image) for frame in reader] == [9]


def test_images_of_another_size_are_yielded_as_they_are(tmp_path: Path) -> None:
    Image.fromarray(coded_image(0)).save(tmp_path / "0.png")
    Image.fromarray(coded_image(1, (96, 64))).save(tmp_path / "1.png")
    assert [frame.image.shape for frame in ImageFolderReader(tmp_path)] == [(48, 64, 3), (64, 96, 3)]


def test_images_that_are_not_yielded_are_not_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "scene", 6)
    for index in (1, 2, 3, 4):
        (folder / f"{index}.jpg").write_text("no image")
    assert [frame.index for frame in ImageFolderReader(folder, every=5)] == [0, 5]


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("cut", [False, True])
def test_an_image_that_cannot_be_read_is_named(number: int, cut: bool, tmp_path: Path) -> None:
    bad = write_folder(tmp_path / "scene", 6) / f"{number}.jpg"
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2] if cut else b"no image")
    with pytest.raises(UserError, match=f"{number}.jpg: not an image"):
        list(ImageFolderReader(tmp_path / "scene"))


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._0.jpg").touch()  # what macOS leaves on foreign disks
    with pytest.raises(UserError, match="no images"):
        ImageFolderReader(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        ImageFolderReader(tmp_path / "missing")


def test_limits_count_images_of_the_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "scene", 12)
    with ImageFolderReader(folder, every=5, max_frames=10) as reader:
        assert [frame.index for frame in reader] == [0, 5]
    assert reader.frames_read == 10
    assert [frame.index for frame in ImageFolderReader(folder, duration=0.1)] == [0, 1, 2]


def test_a_reader_is_read_once(tmp_path: Path) -> None:
    reader = ImageFolderReader(write_folder(tmp_path / "scene", 2))
    list(reader)
    with pytest.raises(RuntimeError, match="read once"):
        iter(reader)


@given(st.lists(st.integers(0, 10**12), unique=True))
def test_numbered_names_sort_as_their_numbers(numbers: list[int]) -> None:
    paths = [Path(f"frame_{number}.jpg") for number in numbers]
    assert sorted(paths, key=natural_order) == [Path(f"frame_{number}.jpg") for number in sorted(numbers)]


@given(st.lists(st.text(alphabet="aAb01._-²", min_size=1)), st.randoms())
def test_any_names_have_one_order_however_they_come(names: list[str], random: Random) -> None:
    # A name of dots alone is a path of its own kind, and no file's name.
    paths = [Path("x" + name) for name in names]
    shuffled = random.sample(paths, len(paths))
    assert sorted(shuffled, key=natural_order) == sorted(paths, key=natural_order)


def test_a_real_folder_is_read_as_its_clip() -> None:
    campus = data.test_data() / "campus"
    with ImageFolderReader(campus / "testing" / "frames" / "01_0001", every=50, rate=Fraction(10)) as reader:
        frames = list(reader)
    assert reader.info.name == "01_0001"
    assert reader.frames_read == reader.info.frames == 180
    assert [frame.index for frame in frames] == [0, 50, 100, 150]
    assert frames[0].image.shape == (240, 360, 3)
