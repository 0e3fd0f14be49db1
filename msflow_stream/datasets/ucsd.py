"""UCSD Pedestrian as it is published: two walkways, Ped1 and Ped2, in one folder or one of them alone.

UCSDped2/Train/Train001/*.tif
UCSDped2/Test/Test001/*.tif
UCSDped2/Test/Test001_gt/*.bmp      a mask per frame; in Ped1, only some of the clips have them
UCSDped2/Test/UCSDped2.m            the anomalous frames of every test clip, in order
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from PIL import Image

from msflow_stream.datasets import DataSet
from msflow_stream.datasets.clips import Clip, Flags, Truth, VideoScene, frame_files, holds, select
from msflow_stream.datasets.shanghaitech import EVERY
from msflow_stream.types import UserError

WALKWAYS = ("UCSDped1", "UCSDped2")
RATE = Fraction(10)  # frames per second
LISTED = re.compile(r"^\s*TestVideoFile\{end\+1\}\.gt_frame\s*=\s*\[([^\]]*)\]", re.MULTILINE)

logger = logging.getLogger(__name__)


def ucsd(root: Path, scenes: Sequence[str] | None = None, every: int = 1) -> list[VideoScene]:
    """Returns the walkways of a tree; a test clip without masks and listed frames has no truth, and a warning says so.

    Args:
        root: the folder that holds UCSDped1 and UCSDped2, or one of these two.
        scenes: UCSDped1 or UCSDped2; what there is if None.
        every: sample the frames whose index is a multiple of this.

    Raises:
        UserError: another tree than this, or no such walkway.
    """
    found = [root / name for name in WALKWAYS if (root / name).is_dir()]
    if not found and (root / "Train").is_dir() and (root / "Test").is_dir():
        found = [root]
    if not found:
        wanted = f"{' or '.join(WALKWAYS)}, or Train and Test"
        raise UserError(f"{root} is no UCSD Pedestrian tree: it should hold {wanted}, {holds(root)}")
    return select([_walkway(folder, every) for folder in found], scenes)


class ListedTruth:
    """Truth of which only the anomalous frames are known."""

    has_masks = False

    def __init__(self, labels: Flags) -> None:
        self.labels = labels

    def mask(self, position: int) -> None:
        """Returns None: the pixels are not known."""


class ImageTruth:
    """Truth from a folder with a mask per frame; a frame is anomalous where any pixel of its mask is."""

    has_masks = True

    def __init__(self, folder: Path, frames: int) -> None:
        self._folder, self._frames = folder, frames

    @cached_property
    def labels(self) -> Flags:
        """One flag per frame; reads all masks, once."""
        return np.array([self.mask(position).any() for position in range(self._frames)], bool)

    def mask(self, position: int) -> Flags:
        """Returns the mask of a frame, as large as it is stored."""
        path = self._files[position]
        try:
            with Image.open(path) as image:
                return np.asarray(np.asarray(image.convert("L")) != 0)
        except (OSError, SyntaxError, ValueError):
            raise UserError(f"{path} cannot be read as a mask: copy it again") from None

    @cached_property
    def _files(self) -> list[Path]:
        files = frame_files(self._folder)
        if len(files) != self._frames:
            raise UserError(f"{self._folder} has {len(files)} masks, its clip has {self._frames} frames")
        return files


def _walkway(folder: Path, every: int) -> VideoScene:
    train, test = _clips(folder / "Train"), _clips(folder / "Test")
    listed = _listed(folder / "Test", len(test))
    truths = [_truth(clip, None if listed is None else listed[number]) for number, clip in enumerate(test)]
    unknown = [clip.name for clip, truth in zip(test, truths, strict=True) if truth is None]
    if unknown:
        logger.warning("%s: no masks and no list of anomalous frames for %s", folder, ", ".join(unknown))
    return VideoScene(
        folder.resolve().name,
        tuple(Clip(clip.name, clip, every, rate=RATE) for clip in train),
        tuple(Clip(clip.name, clip, every, truth, rate=RATE) for clip, truth in zip(test, truths, strict=True)),
    )


def _clips(folder: Path) -> list[Path]:
    clips = sorted(
        path for path in folder.glob(f"{folder.name}[0-9]*") if path.name.removeprefix(folder.name).isdecimal()
    )
    if not clips:
        raise UserError(f"{folder} should hold folders such as {folder.name}001, {holds(folder)}")
    return clips


def _truth(clip: Path, listed: Sequence[range] | None) -> Truth | None:
    masks, frames = clip.with_name(f"{clip.name}_gt"), len(frame_files(clip))
    if masks.is_dir():
        return ImageTruth(masks, frames)
    if listed is None:
        return None
    labels = np.zeros(frames, bool)
    for span in listed:
        labels[span.start : span.stop] = True
    return ListedTruth(labels)


def _listed(folder: Path, clips: int) -> list[list[range]] | None:
    """The anomalous frames of each test clip, as the tree's Matlab file lists them; None without that file."""
    path = next(iter(sorted(folder.glob("UCSDped*.m"))), None)
    if path is None:
        return None
    found = LISTED.findall(path.read_text(encoding="utf-8", errors="replace"))
    if len(found) != clips:
        raise UserError(f"{path} lists the anomalous frames of {len(found)} clips, there are {clips}")
    # Matlab counts from 1 and to the last: 60:152 are the indices 59 to 151.
    return [[range(int(a) - 1, int(b)) for a, b in re.findall(r"(\d+)\s*:\s*(\d+)", line)] for line in found]


def _one(name: str, root: Path, scenes: Sequence[str] | None) -> list[VideoScene]:
    """One walkway, sampled every fifth frame, in the folder of both or in its own."""
    inner = root / name
    if not inner.is_dir() and not (root / "Train").is_dir():
        raise UserError(f"{root}: expected {inner.name} in it, {holds(root)}")
    return ucsd(inner if inner.is_dir() else root, None, EVERY)


PED1, PED2 = (DataSet(load=partial(_one, name), config="mstc") for name in WALKWAYS)
