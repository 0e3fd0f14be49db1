from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from msflow_stream.datasets.stills import Still, StillClass
from msflow_stream.datasets.visa import visa
from msflow_stream.types import UserError

HEADER = "object,split,label,image,mask"


def draw(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3)).save(path)


def split(root: Path, *lines: str, header: str = HEADER, encoding: str = "utf-8", end: str = "\n") -> None:
    (root / "split_csv").mkdir(parents=True, exist_ok=True)
    (root / "split_csv" / "1cls.csv").write_bytes(end.join([header, *lines, ""]).encode(encoding))


def lines(name: str) -> list[str]:
    normal, anomaly = f"{name}/Data/Images/Normal", f"{name}/Data/Images/Anomaly"
    return [
        f"{name},train,normal,{normal}/0002.JPG,",
        f"{name},train,normal,{normal}/0000.JPG,",
        f"{name},test,normal,{normal}/0001.JPG,",
        f"{name},test,anomaly,{anomaly}/001.JPG,{name}/Data/Masks/Anomaly/001.png",
        f"{name},test,anomaly,{anomaly}/000.JPG,{name}/Data/Masks/Anomaly/000.png",
    ]


def draw_released(root: Path, name: str) -> None:
    data = root / name / "Data"
    draw(*(data / "Images" / "Normal" / f"{stem}.JPG" for stem in ("0000", "0001", "0002")))
    for stem in ("000", "001"):
        draw(data / "Images" / "Anomaly" / f"{stem}.JPG", data / "Masks" / "Anomaly" / f"{stem}.png")


def released(root: Path, *names: str) -> Path:
    for name in names:
        draw_released(root, name)
    split(root, *(line for name in names for line in lines(name)))
    return root


def rearranged(root: Path, *names: str) -> Path:
    for name in names:
        home = root / name
        draw(home / "train" / "good" / "0000.JPG", home / "train" / "good" / "0002.JPG")
        draw(home / "test" / "good" / "0001.JPG", *(home / "test" / "bad" / f"{stem}.JPG" for stem in ("000", "001")))
        draw(*(home / "ground_truth" / "bad" / f"{stem}.png" for stem in ("000", "001")))
    return root


def content(found: list[StillClass]) -> list[object]:
    def facts(stills: tuple[Still, ...]) -> list[object]:
        return [(still.path.name, still.kind, still.mask and still.mask.name) for still in stills]

    return [(part.name, facts(part.fit), facts(part.test)) for part in found]


def test_the_release_is_read_by_its_split(tmp_path: Path) -> None:
    (found,) = visa(released(tmp_path, "candle"))
    assert found.name == "candle"
    assert [still.name for still in found.fit] == ["Data/Images/Normal/0000.JPG", "Data/Images/Normal/0002.JPG"]
    assert [(still.name, still.kind) for still in found.test] == [
        ("Data/Images/Anomaly/000.JPG", "bad"),
        ("Data/Images/Anomaly/001.JPG", "bad"),
        ("Data/Images/Normal/0001.JPG", "good"),
    ]
    masks = tmp_path / "candle" / "Data" / "Masks" / "Anomaly"
    assert [still.mask for still in found.test] == [masks / "000.png", masks / "001.png", None]
    assert all(still.path == tmp_path / "candle" / still.name for still in found.fit + found.test)


def test_both_layouts_give_the_same_images_kinds_and_masks(tmp_path: Path) -> None:
    first = visa(released(tmp_path / "released", "pcb1", "candle"))
    second = visa(rearranged(tmp_path / "rearranged", "pcb1", "candle"))
    assert [part.name for part in first] == ["candle", "pcb1"]
    assert content(first) == content(second)
    assert all(part.has_masks for part in first + second)


@pytest.mark.parametrize("make", [released, rearranged])
def test_classes_can_be_chosen_and_an_unknown_one_names_the_known(tmp_path: Path, make: Callable[..., Path]) -> None:
    root = make(tmp_path, "pcb1", "candle", "fryum")
    assert [part.name for part in visa(root, ["pcb1", "candle"])] == ["candle", "pcb1"]
    with pytest.raises(UserError, match=r"no class pcb4; there are candle, fryum, pcb1$"):
        visa(root, ["pcb4"])


def test_objects_of_the_split_that_were_not_unpacked_are_left_out(tmp_path: Path) -> None:
    released(tmp_path, "candle")
    split(tmp_path, *lines("candle"), *lines("cashew"))
    assert [part.name for part in visa(tmp_path)] == ["candle"]


def test_an_image_of_the_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    released(tmp_path, "candle")
    (tmp_path / "candle" / "Data" / "Images" / "Normal" / "0002.JPG").unlink()
    with pytest.raises(UserError, match=r"1cls\.csv names candle/Data/Images/Normal/0002\.JPG, which is not in "):
        visa(tmp_path)


def test_a_mask_that_is_not_there_or_not_named_is_told_and_no_error(tmp_path: Path) -> None:
    released(tmp_path, "candle")
    (tmp_path / "candle" / "Data" / "Masks" / "Anomaly" / "001.png").unlink()
    split(tmp_path, *lines("candle")[:4], "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,")
    assert [still.path.name for still in visa(tmp_path)[0].missing_masks] == ["000.JPG", "001.JPG"]


def test_a_normal_image_has_no_mask_whatever_the_split_names(tmp_path: Path) -> None:
    before = visa(released(tmp_path, "candle"))
    split(tmp_path, *(line + "candle/Data/Masks/Anomaly/000.png" * line.endswith(",") for line in lines("candle")))
    assert visa(tmp_path) == before


def test_a_split_that_went_through_a_spreadsheet_says_the_same(tmp_path: Path) -> None:
    before = visa(released(tmp_path, "candle"))
    backward = [line.replace("/", "\\") for line in lines("candle")]
    split(tmp_path, *backward, encoding="utf-8-sig", end="\r\n")
    assert visa(tmp_path) == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("candle,val,normal,candle/a.JPG,", r"line 2: the split should be train or test .*: val, normal$"),
        ("candle,test,bad,candle/a.JPG,", r"line 2: .*the label normal or anomaly: test, bad$"),
        ("candle,train,anomaly,candle/a.JPG,", "line 2: an anomaly to fit on"),
        (
            "candle,train,normal,cashew/a.JPG,",
            "line 2: the image should be in the object's folder candle/: cashew/a.JPG",
        ),
        ("candle,train,normal,,", "line 2: the image should be in the object's folder candle/: $"),
        ("candle", r"line 2: the split should be train or test"),
    ],
)
def test_a_line_that_makes_no_sense_is_told_with_its_number(tmp_path: Path, line: str, message: str) -> None:
    released(tmp_path, "candle")
    split(tmp_path, line, *lines("candle"))
    with pytest.raises(UserError, match=message) as error:
        visa(tmp_path)
    assert "\n" not in str(error.value)


def test_a_split_without_its_columns_tells_which(tmp_path: Path) -> None:
    released(tmp_path, "candle")
    split(tmp_path, *lines("candle"), header="object,split,kind,image,masks")
    with pytest.raises(UserError, match=r"expected the columns object, split, .*; there is no label, mask$"):
        visa(tmp_path)
    split(tmp_path, header="")
    with pytest.raises(UserError, match=r"there is no object, split, label, image, mask$"):
        visa(tmp_path)


def test_a_split_that_is_no_text_is_a_user_error(tmp_path: Path) -> None:
    released(tmp_path, "candle")
    (tmp_path / "split_csv" / "1cls.csv").write_bytes(b"\xff\xfe\x00\x01" * 9)
    with pytest.raises(UserError, match=r"1cls\.csv is not a CSV file that can be read") as error:
        visa(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("kept", "part"), [("train", "test"), ("test", "fit")])
def test_a_class_needs_images_to_fit_and_to_test(tmp_path: Path, kept: str, part: str) -> None:
    released(tmp_path, "candle")
    split(tmp_path, *(line for line in lines("candle") if line.startswith(f"candle,{kept}")))
    with pytest.raises(UserError, match=rf"1cls\.csv has no image of candle to {part}$"):
        visa(tmp_path)


def test_another_tree_tells_both_layouts_and_what_is_there(tmp_path: Path) -> None:
    draw_released(tmp_path, "candle")  # its split is missing
    with pytest.raises(UserError, match=r"expected split_csv/1cls\.csv .*CLASS/train/good.*; found candle/$") as error:
        visa(tmp_path)
    assert "\n" not in str(error.value)
    split(tmp_path, *lines("cashew"))
    with pytest.raises(UserError, match=r"expected a folder for each object in .*; found candle/, split_csv/$"):
        visa(tmp_path)
