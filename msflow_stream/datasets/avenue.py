"""CUHK Avenue as it is published: one walkway, videos, and the masks of each test video in a Matlab file.

training_videos/01.avi
testing_videos/01.avi
testing_label_mask/1_label.mat      `volLabel`, a cell array with the mask of each frame; also in ground_truth_demo
"""

from __future__ import annotations

import re
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from msflow_stream.datasets import DataSet
from msflow_stream.datasets.clips import Clip, Flags, VideoScene, clip_sources, holds, need
from msflow_stream.datasets.shanghaitech import EVERY
from msflow_stream.types import UserError

TREE = "CUHK Avenue"


def avenue(root: Path, every: int = 1) -> list[VideoScene]:
    """Returns the one scene of a tree, named avenue; no video or mask is read yet.

    Args:
        root: the folder that holds training_videos and testing_videos.
        every: sample the frames whose index is a multiple of this.

    Raises:
        UserError: another tree than this.
    """
    training, testing = need(root, ["training_videos"], TREE), need(root, ["testing_videos"], TREE)
    masks = need(root, ["testing_label_mask", "ground_truth_demo/testing_label_mask"], TREE)
    fit = tuple(Clip(name, source, every) for name, source in _numbered(training).items())
    test = tuple(
        Clip(name, source, every, MatTruth(masks / f"{int(name)}_label.mat"))
        for name, source in _numbered(testing).items()
    )
    return [VideoScene("avenue", fit, test)]


class MatTruth:
    """Truth from the masks in a .mat file; a frame is anomalous where any pixel of its mask is."""

    has_masks = True

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def labels(self) -> Flags:
        """One flag per frame; reads the file, once."""
        return np.array([self.mask(position).any() for position in range(len(self._packed))], bool)

    def mask(self, position: int) -> Flags:
        """Returns the mask of a frame, as large as it is stored."""
        (height, width), packed = self._packed[position]
        flags = np.unpackbits(np.frombuffer(zlib.decompress(packed), np.uint8), count=height * width)
        return flags.reshape(height, width).astype(bool)

    @cached_property
    def _packed(self) -> list[tuple[tuple[int, int], bytes]]:
        """Shape and pixels of each mask: packed, for those of all videos are 3.5 GB as they are, and mostly zeros."""
        cells = np.ravel(_read(self._path))
        if any(getattr(cell, "ndim", 0) != 2 or cell.dtype.kind not in "buif" for cell in cells):
            raise UserError(f"{self._path} should hold volLabel, a cell array with an H x W mask of each frame")
        return [(cell.shape, zlib.compress(np.packbits(cell != 0).tobytes(), 1)) for cell in cells]


def _read(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path} does not exist: a test video needs its masks")
    try:
        return loadmat(path, variable_names=["volLabel"])["volLabel"]  # reads numbers, executes nothing
    except KeyError:
        raise UserError(f"{path} holds no volLabel") from None
    except Exception:  # on a damaged file SciPy lets through whatever it meets
        raise UserError(f"{path} cannot be read as a Matlab file (of version 7.2 or older)") from None


def _numbered(folder: Path) -> dict[str, Path]:
    sources = {name: source for name, source in clip_sources(folder).items() if re.fullmatch(r"\d+", name)}
    if not sources:
        raise UserError(f"{folder} should hold videos such as 01.avi, {holds(folder)}")
    return sources


AVENUE = DataSet(load=lambda root, scenes: avenue(root, EVERY), config="mstc")
