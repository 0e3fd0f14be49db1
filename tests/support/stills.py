"""Small trees of still images: grey plates, some with a bright scratch and its mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (48, 64)  # height, width


def plate(rng: np.random.Generator, scratched: bool) -> tuple[Image.Image, Image.Image]:
    """An image and its mask."""
    grey = rng.normal(110, 6, SIZE)
    mask = np.zeros(SIZE, bool)
    if scratched:
        top, left = rng.integers(4, SIZE[0] - 16), rng.integers(4, SIZE[1] - 24)
        mask[top : top + 10, left : left + 18] = True
        grey[mask] = rng.normal(230, 20, int(mask.sum()))
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)), Image.fromarray((mask * 255).astype(np.uint8))


def write_mvtec(root: Path, classes: tuple[str, ...] = ("plate",), fit: int = 8, test: int = 5) -> Path:
    """An MVTec AD tree."""
    for number, name in enumerate(classes):
        rng = np.random.default_rng(number)
        for folder in ("train/good", "test/good", "test/scratch", "ground_truth/scratch"):
            (root / name / folder).mkdir(parents=True)
        for index in range(fit):
            plate(rng, False)[0].save(root / name / "train/good" / f"{index:03}.png")
        for index in range(test):
            plate(rng, False)[0].save(root / name / "test/good" / f"{index:03}.png")
            image, mask = plate(rng, True)
            image.save(root / name / "test/scratch" / f"{index:03}.png")
            mask.save(root / name / "ground_truth/scratch" / f"{index:03}_mask.png")
    return root
