"""A bank of scenes on disk: made once by all cores, then mapped into memory."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.pretraining.pictures.scenes import PIECES, TEXTURES, Composer, swatches
from msflow_stream.types import UserError

RECORD, SWATCHES = "bank.json", "swatches.npy"
ARRAYS = {"images": np.uint8, "textures": np.uint16, "shapes": np.uint8}


@dataclass(frozen=True, slots=True)
class BankPlan:
    """The settings of a bank: equal plans give equal banks, byte by byte.

    Attributes:
        scenes: number of scenes.
        size: side of a scene, in pixels; even.
        shard: scenes per file.
        textures, pieces: classes, and swatches of each.
    """

    scenes: int = 24576
    size: int = 144
    seed: int = 0
    shard: int = 1024
    textures: int = TEXTURES
    pieces: int = PIECES

    @property
    def shards(self) -> int:
        """The number of files of each kind."""
        return -(-self.scenes // self.shard)


class Bank:
    """The scenes by number, from a folder that `make` filled."""

    def __init__(self, folder: Path) -> None:
        self.plan = _plan(folder)
        self._arrays = [
            {name: np.load(folder / f"{name}-{number:04}.npy", mmap_mode="r") for name in ARRAYS}
            for number in range(self.plan.shards)
        ]

    def read(self, name: str, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
        """Returns copies of `images`, `textures` or `shapes` of the scenes `numbers`, stacked."""
        return np.stack([self._arrays[n // self.plan.shard][name][n % self.plan.shard] for n in numbers.tolist()])


def make(folder: Path, plan: BankPlan, workers: int) -> Iterator[int]:
    """Makes the shards that the folder lacks, yielding the number of scenes in each when it is there.

    Raises:
        UserError: the folder has a bank of another plan.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / RECORD).exists():
        if _plan(folder) != plan:
            raise UserError(f"{folder} has a bank of other settings: remove it, or choose another folder")
    else:
        (folder / RECORD).write_text(json.dumps(asdict(plan)) + "\n", encoding="utf-8")
    missing = [n for n in range(plan.shards) if not (folder / f"shapes-{n:04}.npy").exists()]
    if not missing:
        return
    if not (folder / SWATCHES).exists():
        _save(folder / SWATCHES, swatches(plan.size, plan.seed, plan.textures, plan.pieces))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_shard, [(folder, plan, number) for number in missing])


def _shard(task: tuple[Path, BankPlan, int]) -> int:
    folder, plan, shard = task
    cv2.setNumThreads(1)
    composer = Composer(np.load(folder / SWATCHES, mmap_mode="r"))
    numbers = range(shard * plan.shard, min(plan.scenes, (shard + 1) * plan.shard))
    scenes = [composer.scene(np.random.default_rng((plan.seed, 1, number))) for number in numbers]
    _save(folder / f"images-{shard:04}.npy", np.stack([s.image for s in scenes]))
    _save(folder / f"textures-{shard:04}.npy", np.stack([s.texture for s in scenes]))
    _save(folder / f"shapes-{shard:04}.npy", np.stack([s.shape for s in scenes]))  # last: tells that all are there
    return len(scenes)


def _save(path: Path, array: npt.NDArray[np.generic]) -> None:
    """Writes under a temporary name first: a shard that is there is whole."""
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.save(file, array)
    temporary.replace(path)


def _plan(folder: Path) -> BankPlan:
    try:
        return BankPlan(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise UserError(f"{folder} has no bank of scenes") from None
