from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from msflow_stream.datasets.mvtec import mvtec
from msflow_stream.types import UserError


def draw(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3)).save(path)


def bottle(root: Path, name: str = "bottle") -> Path:
    home = root / name
    draw(*(home / "train" / "good" / f"{stem}.png" for stem in ("002", "000", "001")))
    draw(home / "test" / "good" / "000.png", home / "test" / "broken" / "000.png", home / "test" / "broken" / "001.png")
    draw(home / "test" / "contamination" / "000.png", home / "ground_truth" / "contamination" / "000_mask.png")
    draw(*(home / "ground_truth" / "broken" / f"{stem}_mask.png" for stem in ("000", "001")))
    return home


def test_a_class_is_what_its_folders_hold(tmp_path: Path) -> None:
    home = bottle(tmp_path)
    (found,) = mvtec(tmp_path)
    assert found.name == "bottle"
    assert [(still.name, still.kind, still.mask) for still in found.fit] == [
        (f"train/good/{stem}.png", "good", None) for stem in ("000", "001", "002")
    ]
    assert [(still.name, still.kind, still.anomalous) for still in found.test] == [
        ("test/broken/000.png", "broken", True),
        ("test/broken/001.png", "broken", True),
        ("test/contamination/000.png", "contamination", True),
        ("test/good/000.png", "good", False),
    ]
    assert [still.mask and still.mask.relative_to(home).as_posix() for still in found.test] == [
        "ground_truth/broken/000_mask.png",
        "ground_truth/broken/001_mask.png",
        "ground_truth/contamination/000_mask.png",
        None,
    ]
    assert all(still.path == home / still.name and still.path.is_file() for still in found.fit + found.test)


def test_classes_come_by_name_whatever_the_order_they_are_asked_in(tmp_path: Path) -> None:
    for name in ("zipper", "cable", "hazelnut"):
        bottle(tmp_path, name)
    assert [found.name for found in mvtec(tmp_path)] == ["cable", "hazelnut", "zipper"]
    assert [found.name for found in mvtec(tmp_path, [])] == ["cable", "hazelnut", "zipper"]
    assert [found.name for found in mvtec(tmp_path, ["zipper", "cable"])] == ["cable", "zipper"]


def test_an_unknown_class_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    bottle(tmp_path, "cable")
    bottle(tmp_path, "zipper")
    with pytest.raises(UserError, match=r"no class bottle; there are cable, zipper$"):
        mvtec(tmp_path, ["cable", "bottle"])


def test_only_the_classes_asked_for_need_to_be_complete(tmp_path: Path) -> None:
    bottle(tmp_path)
    draw(tmp_path / "cable" / "train" / "good" / "000.png")
    assert [found.name for found in mvtec(tmp_path, ["bottle"])] == ["bottle"]
    with pytest.raises(UserError, match=r"cable/test: no such folder; expected good/ and a folder for each kind"):
        mvtec(tmp_path)


def test_a_mask_that_is_not_there_is_told_and_no_error(tmp_path: Path) -> None:
    home = bottle(tmp_path)
    assert mvtec(tmp_path)[0].has_masks
    (home / "ground_truth" / "broken" / "001_mask.png").unlink()
    (found,) = mvtec(tmp_path)
    assert not found.has_masks
    assert [still.name for still in found.missing_masks] == ["test/broken/001.png"]


def test_a_good_image_has_no_mask_even_where_one_is_drawn(tmp_path: Path) -> None:
    draw(bottle(tmp_path) / "ground_truth" / "good" / "000_mask.png")
    (found,) = mvtec(tmp_path)
    assert [still.mask for still in found.test if not still.anomalous] == [None]
    assert found.has_masks


def test_hidden_files_and_clutter_are_no_images(tmp_path: Path) -> None:
    home = bottle(tmp_path)
    before = mvtec(tmp_path)
    draw(home / "train" / "good" / "._000.png", home / "test" / ".hidden" / "000.png")
    (home / "test" / "good" / "Thumbs.db").touch()
    (home / "test" / "good" / "notes.txt").touch()
    (home / "test" / "license.txt").touch()
    (home / "test" / "good" / "odd.png").mkdir()
    draw(tmp_path / ".trash" / "train" / "good" / "000.png", tmp_path / "__MACOSX" / "test" / "good" / "000.png")
    (tmp_path / "documents").mkdir()
    assert mvtec(tmp_path) == before


def test_suffixes_count_in_any_case(tmp_path: Path) -> None:
    draw(bottle(tmp_path) / "train" / "good" / "003.PNG", tmp_path / "bottle" / "train" / "good" / "004.JpEg")
    assert [still.path.name for still in mvtec(tmp_path)[0].fit[3:]] == ["003.PNG", "004.JpEg"]


@pytest.mark.parametrize("part", ["train/good", "test/good", "test/broken"])
def test_a_folder_without_images_is_an_error_that_tells_what_is_in_it(tmp_path: Path, part: str) -> None:
    folder = bottle(tmp_path) / part
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(UserError, match=rf"{part}: expected images \(.*\.png.*\); found nothing$"):
        mvtec(tmp_path)
    for name in ("g.raw", "b.raw", "Thumbs.db", "a.raw", "e.raw", "d.raw", "f.raw"):
        (folder / name).touch()
    (folder / "c").mkdir()
    with pytest.raises(UserError, match=r"found a\.raw, b\.raw, c/, d\.raw, e\.raw and 2 more$"):
        mvtec(tmp_path)


def test_another_tree_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such file or directory") as error:
        mvtec(tmp_path / "nowhere")
    assert "\n" not in str(error.value)
    home = bottle(tmp_path)
    with pytest.raises(UserError, match=r"expected CLASS/train/good.*; found ground_truth/, test/, train/$") as error:
        mvtec(home)  # one folder too deep
    assert "\n" not in str(error.value)


def test_a_class_needs_good_images_to_test(tmp_path: Path) -> None:
    folder = bottle(tmp_path) / "test"
    (folder / "good").rename(folder / "Good")
    with pytest.raises(UserError, match=r"bottle/test: expected good/ .*; found Good/, broken/, contamination/$"):
        mvtec(tmp_path)
