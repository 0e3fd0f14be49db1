from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.datasets.clips import find, load_labels, load_masks, mask_at
from msflow_stream.types import UserError

FRAMES = 5


def saved(folder: Path, array: Any, name: str = "clip.npy") -> Path:
    np.save(folder / name, array)
    return folder / name


class Touches:
    """Pickled, it makes a file as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_labels_of_any_kind_of_number_are_flags(tmp_path: Path, kind: type) -> None:
    labels = load_labels(saved(tmp_path, np.array([0, 1, 1, 0, 3], kind)), FRAMES)
    assert labels.dtype == bool
    assert labels.tolist() == [False, True, True, False, True]


def test_masks_are_mapped_and_not_read(tmp_path: Path) -> None:
    masks = np.random.default_rng(0).integers(0, 2, (FRAMES, 3, 4)).astype(np.uint8)
    loaded = load_masks(saved(tmp_path, masks), FRAMES)
    assert isinstance(loaded, np.memmap)
    assert np.array_equal(loaded, masks)


@pytest.mark.parametrize("found", [0, FRAMES - 1, FRAMES + 1])
def test_another_number_of_frames_than_the_clip_has_is_an_error_with_both_numbers(tmp_path: Path, found: int) -> None:
    with pytest.raises(UserError, match=rf"labels.npy has {found} frames, its clip has {FRAMES}"):
        load_labels(saved(tmp_path, np.zeros(found), "labels.npy"), FRAMES)
    with pytest.raises(UserError, match=rf"masks.npy has {found} frames, its clip has {FRAMES}"):
        load_masks(saved(tmp_path, np.zeros((found, 2, 2)), "masks.npy"), FRAMES)


@pytest.mark.parametrize("shape", [(), (FRAMES, 1), (1, FRAMES), (FRAMES, 2, 2)])
def test_labels_of_another_shape_are_an_error_that_tells_it(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError) as error:
        load_labels(saved(tmp_path, np.zeros(shape)), FRAMES)
    assert str(shape) in str(error.value)
    assert "one 0/1 per frame" in str(error.value)


@pytest.mark.parametrize("shape", [(FRAMES,), (FRAMES, 2), (FRAMES, 2, 2, 1)])
def test_masks_of_another_shape_are_an_error_that_tells_it(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError) as error:
        load_masks(saved(tmp_path, np.zeros(shape)), FRAMES)
    assert str(shape) in str(error.value)
    assert "T x H x W" in str(error.value)


@pytest.mark.parametrize("kind", ["complex128", "<U3", "S2", "datetime64[s]"])
def test_labels_that_are_no_numbers_are_an_error_that_tells_what_they_are(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"it holds {np.dtype(kind)}")):
        load_labels(saved(tmp_path, np.zeros(FRAMES, kind)), FRAMES)


def pickled(folder: Path) -> Path:
    (folder / "bad.npy").write_bytes(pickle.dumps([0, 1]))
    return folder / "bad.npy"


def pickled_objects(folder: Path) -> Path:
    np.save(folder / "bad.npy", np.array([0, None, 1, 0, 1], object), allow_pickle=True)
    return folder / "bad.npy"


def text(folder: Path) -> Path:
    (folder / "bad.npy").write_text("0 1 1 0 0\n")
    return folder / "bad.npy"


def empty(folder: Path) -> Path:
    (folder / "bad.npy").touch()
    return folder / "bad.npy"


def cut(folder: Path) -> Path:
    path = saved(folder, np.zeros(FRAMES), "bad.npy")
    path.write_bytes(path.read_bytes()[:-1])
    return path


def several_arrays(folder: Path) -> Path:
    np.savez(folder / "bad.npz", first=np.zeros(FRAMES), second=np.zeros(FRAMES))
    return (folder / "bad.npz").rename(folder / "bad.npy")


def cut_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "bad.npy", "w") as archive:
        archive.writestr("labels", bytes(100))
    (folder / "bad.npy").write_bytes((folder / "bad.npy").read_bytes()[:50])
    return folder / "bad.npy"


def a_folder(folder: Path) -> Path:
    return folder


def missing(folder: Path) -> Path:
    return folder / "bad.npy"


@pytest.mark.parametrize("load", [load_labels, load_masks])
@pytest.mark.parametrize(
    "make", [pickled, pickled_objects, text, empty, cut, several_arrays, cut_zip, a_folder, missing]
)
def test_a_file_that_is_no_array_of_numbers_is_an_error_of_one_line(
    tmp_path: Path, make: Callable[[Path], Path], load: Callable[[Path, int], object]
) -> None:
    path = make(tmp_path)
    with pytest.raises(UserError) as error:
        load(path, FRAMES)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_in_a_label_file_is_unpickled(tmp_path: Path) -> None:
    trap = Touches(tmp_path / "ran")
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(trap))
    np.save(tmp_path / "array.npy", np.array([trap], object), allow_pickle=True)
    for name in ("raw.npy", "array.npy"):
        with pytest.raises(UserError):
            load_labels(tmp_path / name, 1)
    assert not trap.path.exists()
    pickle.loads((tmp_path / "raw.npy").read_bytes())
    assert trap.path.exists()  # the trap does work


@settings(max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 132), st.integers(0, 255)), min_size=1, max_size=3), st.integers(0, 133))
def test_a_damaged_label_file_gives_labels_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]], length: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    np.save(path, np.array([0, 1, 1, 0, 1], np.uint8))
    content = bytearray(path.read_bytes())
    assert len(content) == 133
    for position, value in damage:
        content[position] = value
    path.write_bytes(bytes(content) if length % 2 else bytes(content[:length]))
    with suppress(UserError):
        assert load_labels(path, FRAMES).shape == (FRAMES,)


@pytest.mark.parametrize(
    "header", [b"(5" + b"0" * 30 + b",)", b"(-5,)", b"((((((", b"(5,)\xd7\\"], ids=["huge", "negative", "open", "odd"]
)
def test_a_nonsensical_header_is_a_user_error(tmp_path: Path, header: bytes) -> None:
    path = saved(tmp_path, np.zeros(FRAMES, np.uint8))
    content = path.read_bytes()
    grown = content.replace(b"(5,), }" + b" " * (len(header) - 4), header + b", }")
    assert len(grown) == len(content)
    path.write_bytes(grown)
    with pytest.raises(UserError):
        load_labels(path, FRAMES)


def test_a_single_file_belongs_to_a_single_clip(tmp_path: Path) -> None:
    path = saved(tmp_path, np.zeros(FRAMES), "whatever.npy")
    assert find(path, "clip", alone=True) == path
    with pytest.raises(UserError, match=r"give a folder with one \.npy per clip"):
        find(path, "clip", alone=False)


@pytest.mark.parametrize("alone", [True, False])
def test_in_a_folder_a_clip_has_the_file_of_its_name(tmp_path: Path, alone: bool) -> None:
    path = saved(tmp_path, np.zeros(FRAMES), "01_0014.npy")
    assert find(tmp_path, "01_0014", alone) == path
    with pytest.raises(UserError, match=r"no labels for 01_0015: .*01_0015.npy does not exist"):
        find(tmp_path, "01_0015", alone)


def test_a_path_that_does_not_exist_is_named_as_the_person_wrote_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels does not exist$"):
        find(tmp_path / "labels", "clip", alone=True)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**16))
def test_an_enlarged_mask_repeats_its_pixels(height: int, width: int, down: int, across: int, seed: int) -> None:
    masks = np.random.default_rng(seed).integers(0, 2, (3, height, width)).astype(np.uint8) * 200
    enlarged = mask_at(masks, 1, (height * down, width * across))
    assert enlarged.dtype == bool
    assert np.array_equal(enlarged, np.kron(masks[1] != 0, np.ones((down, across), bool)))


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_any_nonzero_pixel_is_anomalous(kind: type) -> None:
    masks: npt.NDArray[np.generic] = np.array([[[0, 1], [0, 0]], [[0, 7], [1, 0]]], kind)
    assert mask_at(masks, 1, (2, 2)).tolist() == [[False, True], [True, False]]


def test_a_shrunken_mask_picks_pixels_and_mixes_none() -> None:
    mask = np.random.default_rng(1).integers(0, 2, (1, 12, 18)).astype(np.uint8)
    assert np.array_equal(mask_at(mask, 0, (4, 6)), mask[0, ::3, ::3] != 0)
