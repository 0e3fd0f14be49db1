"""One's own images in plain folders: normal, test/good, test/KIND and, where there are any, masks/KIND."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msflow_stream.datasets import DataSet
from msflow_stream.datasets.stills import (
    GOOD,
    Still,
    StillClass,
    as_stills,
    chosen,
    folders_in,
    images_in,
    masks_in,
    wrong_tree,
)

FIT, TEST = "normal", "test"
MASKS = ("masks", "ground_truth")
EXPECTED = f"{FIT}/ with images to fit and {TEST}/good, {TEST}/KIND to test (or several folders like that)"


def folder(root: Path, classes: Sequence[str] | None = None) -> list[StillClass]:
    """Finds one class named after the folder or, where each class has a folder of its own in it, several by name.

    The mask of `test/KIND/NAME.png` is `masks/KIND/NAME.png` or `ground_truth/KIND/NAME.png`, with or without `_mask`
    after the name. `test/normal` is another word for `test/good`.

    Args:
        classes: names of the classes to find; all where None or empty.

    Raises:
        UserError: not such a tree, an incomplete class, or an unknown one.
    """
    if _is_class(root):
        homes = {root.resolve().name: root}  # root may be "."
    else:
        homes = {home.name: home for home in folders_in(root) if _is_class(home)}
    if not homes:
        raise wrong_tree(root, EXPECTED)
    return [_class(name, homes[name]) for name in chosen(list(homes), classes, root)]


def _is_class(home: Path) -> bool:
    return (home / FIT).is_dir() or (home / TEST).is_dir()


def _class(name: str, home: Path) -> StillClass:
    kinds = folders_in(home / TEST) if (home / TEST).is_dir() else []
    if not kinds:
        raise wrong_tree(home / TEST, "good/ and a folder for each kind of defect")
    test = [still for kind in kinds for still in _stills(kind, home)]
    test.sort(key=lambda still: (still.kind, still.name))  # for test/normal is good
    return StillClass(name, tuple(as_stills(images_in(home / FIT), GOOD, home)), tuple(test))


def _stills(kind: Path, home: Path) -> list[Still]:
    if kind.name in (GOOD, FIT):
        return as_stills(images_in(kind), GOOD, home)
    return as_stills(images_in(kind), kind.name, home, masks_in(*(home / masks / kind.name for masks in MASKS)))


FOLDER = DataSet(load=folder, config="mvtec")
