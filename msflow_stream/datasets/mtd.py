"""Magnetic Tile Defects in its original layout: MT_*/Imgs/*.jpg with a .png mask of the same name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from msflow_stream.datasets import PAPER, DataSet
from msflow_stream.datasets.stills import (
    GOOD,
    Still,
    StillClass,
    as_stills,
    folders_in,
    images_in,
    masks_in,
    wrong_tree,
)
from msflow_stream.types import UserError

NAME = "magnetic_tile"
FREE = "MT_Free"
IMAGES, MASKS = (".jpg", ".jpeg"), (".png",)


def mtd(root: Path, fit_share: float = 0.8, seed: int = 0) -> list[StillClass]:
    """Finds the tiles as one class, "magnetic_tile"; its kinds are the folders' names: MT_Blowhole holds "blowhole".

    The data set comes without a split. The free tiles by name, permuted by `default_rng(seed)`: the first
    round(fit_share * n) are to fit, the others and all defects are to test. The stills come by kind and name.

    Raises:
        UserError: not such a tree, or a share that leaves no tile to fit or to test.
    """
    homes = [home for home in folders_in(root) if home.name.startswith("MT_")]
    if FREE not in [home.name for home in homes]:
        raise wrong_tree(root, f"{FREE}/Imgs/*.jpg and MT_*/Imgs/*.jpg with masks (.png)")
    free = as_stills(images_in(root / FREE / "Imgs", IMAGES), GOOD, root)
    to_fit = round(fit_share * len(free))
    if not 0 < to_fit < len(free):
        raise UserError(f"{root}: a share of {fit_share} of {len(free)} free tiles leaves none to fit or none to test")
    order = np.random.default_rng(seed).permutation(len(free))
    fit = tuple(free[index] for index in sorted(order[:to_fit]))
    test = [free[index] for index in order[to_fit:]]
    test += [still for home in homes if home.name != FREE for still in _defects(home, root)]
    return [StillClass(NAME, fit, tuple(sorted(test, key=lambda still: (still.kind, still.name))))]


def _defects(home: Path, root: Path) -> list[Still]:
    images = images_in(home / "Imgs", IMAGES)
    return as_stills(images, home.name.removeprefix("MT_").lower(), root, masks_in(home / "Imgs", suffixes=MASKS))


MTD = DataSet(
    load=lambda root, classes: mtd(root),
    config="mtd",
    classes=1,
    published={PAPER: {"image_auroc_paper": 0.992}},
)
