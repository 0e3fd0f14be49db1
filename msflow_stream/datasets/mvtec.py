"""MVTec AD, and everything laid out like it: CLASS/train/good, CLASS/test/KIND, CLASS/ground_truth/KIND."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msflow_stream.config.loading import override
from msflow_stream.config.settings import Settings
from msflow_stream.datasets import PAPER, RELEASE_LOG, DataSet
from msflow_stream.datasets.stills import (
    GOOD,
    StillClass,
    as_stills,
    chosen,
    folders_in,
    images_in,
    masks_in,
    wrong_tree,
)

EXPECTED = "CLASS/train/good, CLASS/test/good, CLASS/test/KIND and CLASS/ground_truth/KIND with images"
PARTS = ("train", "test", "ground_truth")


def mvtec(root: Path, classes: Sequence[str] | None = None) -> list[StillClass]:
    """Finds the classes of an MVTec AD tree, by name.

    A class is a folder with `train`, `test` or `ground_truth` in it; other folders are passed over. The mask of
    `test/KIND/NNN.png` is `ground_truth/KIND/NNN_mask.png`, or NNN.png as in VisA.

    Args:
        classes: names of the classes to find; all where None or empty.

    Raises:
        UserError: not such a tree, an incomplete class, or an unknown one.
    """
    known = [home.name for home in folders_in(root) if any((home / part).is_dir() for part in PARTS)]
    if not known:
        raise wrong_tree(root, EXPECTED)
    return [_class(root / name) for name in chosen(known, classes, root)]


def _class(home: Path) -> StillClass:
    if not (home / "test" / GOOD).is_dir():
        raise wrong_tree(home / "test", "good/ and a folder for each kind of defect")
    test = [
        still
        for kind in folders_in(home / "test")
        for still in as_stills(images_in(kind), kind.name, home, masks_in(home / "ground_truth" / kind.name))
    ]
    return StillClass(home.name, tuple(as_stills(images_in(home / "train" / GOOD), GOOD, home)), tuple(test))


def _class_settings(name: str, settings: Settings) -> Settings:
    """The settings of one class: as in the paper, the transistor is at 256x256 where the others are at 512x512."""
    if name == "transistor" and settings.input.size == (512, 512):
        return override(settings, ["input.size=[256,256]"])
    return settings


MVTEC = DataSet(
    load=mvtec,
    config="mvtec",
    classes=15,
    published={
        PAPER: {"image_auroc_paper": 0.997, "pixel_auroc": 0.988, "aupro": 0.971},
        RELEASE_LOG: {"image_auroc_paper": 0.994, "pixel_auroc": 0.985},
    },
    class_settings=_class_settings,
)
