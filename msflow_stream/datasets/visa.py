"""VisA, as released (with the split in split_csv/1cls.csv) or rearranged into the 1-class layout, MVTec AD's."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from msflow_stream.datasets import RELEASE_LOG, DataSet
from msflow_stream.datasets.mvtec import PARTS, mvtec
from msflow_stream.datasets.stills import GOOD, Still, StillClass, chosen, folders_in, wrong_tree
from msflow_stream.types import UserError

SPLIT = Path("split_csv", "1cls.csv")
COLUMNS = ("object", "split", "label", "image", "mask")
KINDS = {"normal": GOOD, "anomaly": "bad"}  # the 1-class layout's names for the labels
EXPECTED = f"{SPLIT.as_posix()} and CLASS/Data (as released), or CLASS/train/good and CLASS/test/{{good,bad}}"


@dataclass(frozen=True, slots=True)
class Row:
    """One image of the split: of which class, whether it is to fit, and the image."""

    name: str
    fit: bool
    still: Still


def visa(root: Path, classes: Sequence[str] | None = None) -> list[StillClass]:
    """Finds the classes of VisA, by name; both layouts give the same images, kinds ("good" and "bad") and masks.

    As released, the classes are those of the split whose folders are there.

    Args:
        classes: names of the classes to find; all where None or empty.

    Raises:
        UserError: neither layout, a split that does not fit the images, or an unknown class.
    """
    if (root / SPLIT).is_file():
        return _released(root, classes)
    if any((home / part).is_dir() for home in folders_in(root) for part in PARTS):
        return mvtec(root, classes)
    raise wrong_tree(root, EXPECTED)


def _released(root: Path, classes: Sequence[str] | None) -> list[StillClass]:
    present = {home.name for home in folders_in(root)}
    rows = [row for row in _rows(root) if row.name in present]
    known = sorted({row.name for row in rows})
    if not known:
        raise wrong_tree(root, f"a folder for each object in {SPLIT.as_posix()}")
    found = []
    for name in chosen(known, classes, root):
        stills = sorted((row for row in rows if row.name == name), key=lambda row: (row.still.kind, row.still.name))
        for row in stills:
            if not row.still.path.is_file():
                raise UserError(f"{root / SPLIT} names {name}/{row.still.name}, which is not in {root}")
        fit = tuple(row.still for row in stills if row.fit)
        test = tuple(row.still for row in stills if not row.fit)
        if not fit or not test:
            raise UserError(f"{root / SPLIT} has no image of {name} to {'test' if fit else 'fit'}")
        found.append(StillClass(name, fit, test))
    return found


def _rows(root: Path) -> Iterator[Row]:
    path = root / SPLIT
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
            if missing:
                raise UserError(f"{path}: expected the columns {', '.join(COLUMNS)}; there is no {', '.join(missing)}")
            for cells in table:
                yield _row(cells, root, f"{path}, line {table.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file that can be read: {error}") from None


def _row(cells: Mapping[str, str | None], root: Path, where: str) -> Row:
    name, split, label, image, mask = ((cells[column] or "").strip().replace("\\", "/") for column in COLUMNS)
    if split not in ("train", "test") or label not in KINDS:
        raise UserError(f"{where}: the split should be train or test and the label normal or anomaly: {split}, {label}")
    if split == "train" and label == "anomaly":
        raise UserError(f"{where}: an anomaly to fit on; only normal images can be")
    if not name or PurePosixPath(image).parts[:1] != (name,):
        raise UserError(f"{where}: the image should be in the object's folder {name}/: {image}")
    drawn = root / mask if mask and label == "anomaly" else None
    has_mask = drawn is not None and drawn.is_file()
    still = Still(root / image, KINDS[label], drawn if has_mask else None, image.removeprefix(f"{name}/"))
    return Row(name, split == "train", still)


VISA = DataSet(
    load=visa,
    config="mvtec",
    classes=12,
    published={
        "the release's log (best epoch on the test set)": {
            "image_auroc_paper": 0.978,
            "pixel_auroc": 0.989,
            "aupro": 0.952,
        },
        RELEASE_LOG: {"image_auroc_paper": 0.953, "pixel_auroc": 0.988, "aupro": 0.939},
    },
)
