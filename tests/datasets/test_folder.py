from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msflow_stream.datasets.folder import folder
from msflow_stream.types import UserError


def draw(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3)).save(path)


def parts(home: Path) -> Path:
    draw(home / "normal" / "b.jpg", home / "normal" / "a.png", home / "test" / "good" / "c.bmp")
    draw(home / "test" / "scratch" / "d.png", home / "test" / "dent" / "e.png")
    return home


def test_a_folder_is_one_class_of_its_name(tmp_path: Path) -> None:
    (found,) = folder(parts(tmp_path / "screws"))
    assert found.name == "screws"
    assert [(still.name, still.kind) for still in found.fit] == [("normal/a.png", "good"), ("normal/b.jpg", "good")]
    assert [(still.name, still.kind) for still in found.test] == [
        ("test/dent/e.png", "dent"),
        ("test/good/c.bmp", "good"),
        ("test/scratch/d.png", "scratch"),
    ]
    assert all(still.path == tmp_path / "screws" / still.name for still in found.fit + found.test)


def test_the_folder_one_stands_in_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parts(tmp_path / "screws"))
    assert [found.name for found in folder(Path())] == ["screws"]


def test_several_class_folders_are_several_classes(tmp_path: Path) -> None:
    for name in ("screws", "bolts", "nuts"):
        parts(tmp_path / name)
    (tmp_path / "notes").mkdir()
    assert [found.name for found in folder(tmp_path)] == ["bolts", "nuts", "screws"]
    assert [found.name for found in folder(tmp_path, ["screws", "nuts"])] == ["nuts", "screws"]
    with pytest.raises(UserError, match=r"no class rivets; there are bolts, nuts, screws$"):
        folder(tmp_path, ["rivets"])


@pytest.mark.parametrize("place", ["masks", "ground_truth"])
@pytest.mark.parametrize("name", ["d.png", "d_mask.png", "d.TIF", "d.npy"])
def test_a_mask_has_its_images_name_with_or_without_an_ending(tmp_path: Path, place: str, name: str) -> None:
    mask = parts(tmp_path) / place / "scratch" / name
    draw(mask.with_suffix(".png"))
    if mask.suffix == ".npy":
        mask.with_suffix(".png").unlink()
        np.save(mask, np.zeros((3, 4)))
    else:
        mask.with_suffix(".png").rename(mask)
    (found,) = folder(tmp_path)
    assert [still.mask for still in found.test] == [None, None, mask]
    assert not found.has_masks
    assert [still.kind for still in found.missing_masks] == ["dent"]


def test_a_mask_of_another_kind_or_name_is_none_of_an_images(tmp_path: Path) -> None:
    parts(tmp_path)
    draw(tmp_path / "masks" / "dent" / "d.png", tmp_path / "masks" / "scratch" / "dd.png", tmp_path / "masks" / "d.png")
    assert [still.mask for still in folder(tmp_path)[0].test] == [None, None, None]


def test_an_image_whose_own_name_ends_in_mask_finds_its_mask(tmp_path: Path) -> None:
    parts(tmp_path)
    draw(tmp_path / "test" / "dent" / "face_mask.png", tmp_path / "masks" / "dent" / "face_mask_mask.png")
    draw(tmp_path / "test" / "scratch" / "face_mask.png", tmp_path / "masks" / "scratch" / "face_mask.png")
    draw(tmp_path / "test" / "dent" / "face.png", tmp_path / "masks" / "dent" / "face_mask.png")
    masks = {still.name: still.mask for still in folder(tmp_path)[0].test}
    assert masks["test/dent/face.png"] == tmp_path / "masks/dent/face_mask.png"
    assert masks["test/dent/face_mask.png"] == tmp_path / "masks/dent/face_mask_mask.png"
    assert masks["test/scratch/face_mask.png"] == tmp_path / "masks/scratch/face_mask.png"


def test_images_of_one_stem_are_told_apart_by_their_names(tmp_path: Path) -> None:
    draw(parts(tmp_path) / "test" / "dent" / "e.jpg")
    names = [still.name for still in folder(tmp_path)[0].test]
    assert names[:2] == ["test/dent/e.jpg", "test/dent/e.png"]


def test_normal_images_to_test_are_good(tmp_path: Path) -> None:
    draw(parts(tmp_path) / "test" / "normal" / "a.png", tmp_path / "test" / "hole" / "b.png")
    kinds = [(still.name, still.kind) for still in folder(tmp_path)[0].test]
    assert kinds[1:4] == [("test/good/c.bmp", "good"), ("test/normal/a.png", "good"), ("test/hole/b.png", "hole")]


def test_clutter_is_neither_image_nor_kind(tmp_path: Path) -> None:
    before = folder(parts(tmp_path))
    draw(tmp_path / "normal" / ".a.png", tmp_path / "test" / ".cache" / "a.png", tmp_path / "test" / "loose.png")
    (tmp_path / "normal" / "Thumbs.db").touch()
    assert folder(tmp_path) == before


def test_another_tree_tells_what_was_expected_and_what_is_there(tmp_path: Path) -> None:
    draw(tmp_path / "images" / "a.png")
    (tmp_path / "readme.txt").touch()
    with pytest.raises(UserError, match=r"expected normal/ .*test/good.*; found images/, readme\.txt$") as error:
        folder(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("normal", r"normal: no such folder; expected images .*; found elsewhere/, test/ in "),
        ("test", r"test: no such folder; expected good/ and a folder for each kind"),
    ],
)
def test_a_class_with_a_part_missing_is_an_error(tmp_path: Path, gone: str, message: str) -> None:
    parts(tmp_path)
    (tmp_path / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=message):
        folder(tmp_path)


def test_images_right_in_test_are_an_error_that_shows_them(tmp_path: Path) -> None:
    draw(tmp_path / "normal" / "a.png", tmp_path / "test" / "b.png")
    with pytest.raises(UserError, match=r"test: expected good/ and a folder .*; found b\.png$"):
        folder(tmp_path)
