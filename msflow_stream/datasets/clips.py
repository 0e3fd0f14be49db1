"""The parts of a data set of videos: scenes with clips to fit on and clips to test on, and the truth of those."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from msflow_stream.names import portable_name
from msflow_stream.types import UserError

Flags = npt.NDArray[np.bool_]  # one per frame, or one per pixel (H x W)


def find(path: Path, clip: str, alone: bool) -> Path:
    """Returns the file that belongs to a clip: `path` itself, or `<clip>.npy` in it.

    Args:
        path: the file or folder that a person named.
        clip: name of the clip, or what `portable_name` makes of it.
        alone: true if it is the only clip; a single file can only belong to a single clip.

    Raises:
        UserError: no such file.
    """
    if path.is_file():
        if not alone:
            raise UserError(f"{path} is one file but there are several clips: give a folder with one .npy per clip")
        return path
    found = path / f"{clip}.npy"
    if not found.is_file():  # it may be named as the clip's own file is, such as 22:30.mp4
        named = (one for one in sorted(path.glob("*.npy")) if portable_name(one.stem) == clip)
        found = next(named, found)
    if not found.is_file():
        raise UserError(f"no labels for {clip}: {found if path.is_dir() else path} does not exist")
    return found


def load_labels(path: Path, frames: int) -> npt.NDArray[np.bool_]:
    """Returns one flag per frame of a clip (any nonzero is anomalous).

    Raises:
        UserError: not a one-dimensional .npy file, or another number of frames than the clip has.
    """
    labels = _load(path, 1, "one 0/1 per frame")
    _check_length(path, len(labels), frames)
    return np.asarray(labels, bool)


def load_masks(path: Path, frames: int) -> npt.NDArray[np.generic]:
    """Returns masks (T x H x W, nonzero where anomalous), memory-mapped, so that long clips cost no memory.

    Raises:
        UserError: not a three-dimensional .npy file, or another number of frames than the clip has.
    """
    masks = _load(path, 3, "T x H x W")
    _check_length(path, len(masks), frames)
    return masks


def mask_at(masks: npt.NDArray[np.generic], index: int, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Returns the mask of one frame at a size (height, width), nearest neighbour."""
    mask = (np.asarray(masks[index]) != 0).astype(np.uint8)
    resized = cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized != 0)


def _load(path: Path, dimensions: int, meaning: str) -> npt.NDArray[np.generic]:
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except Exception:  # on a damaged header NumPy lets through whatever it meets: TokenError, OverflowError, ...
        raise UserError(f"{path} is not a .npy file of numbers ({meaning})") from None
    if array.ndim != dimensions or array.dtype.kind not in "buif":
        raise UserError(f"{path} should hold {meaning}, it holds {array.dtype} {array.shape}")
    return array


def _check_length(path: Path, found: int, frames: int) -> None:
    if found != frames:
        raise UserError(f"{path} has {found} frames, its clip has {frames}: they must be equal")


class Truth(Protocol):
    """The truth of a clip, read when it is asked for; positions count the frames of the source as opened."""

    @property
    def labels(self) -> Flags:
        """One flag per frame of the source.

        Raises:
            UserError: they cannot be read, or are not as many as the frames.
        """

    @property
    def has_masks(self) -> bool:
        """True if it is known which pixels are anomalous."""

    def mask(self, position: int) -> Flags | None:
        """Returns the anomalous pixels of a frame, H x W; None where they are not known.

        Raises:
            UserError: the masks cannot be read, or are not as many as the frames.
        """


class NpyTruth:
    """Truth from .npy files: labels and, if there are any, masks (T x H x W, memory-mapped)."""

    def __init__(self, labels: Path, masks: Path | None, frames: int) -> None:
        self._labels, self._masks, self._frames = labels, masks, frames

    @cached_property
    def labels(self) -> Flags:
        """One flag per frame."""
        return load_labels(_there(self._labels), self._frames)

    @property
    def has_masks(self) -> bool:
        """True if there is a file of masks."""
        return self._masks is not None

    def mask(self, position: int) -> Flags | None:
        """Returns the mask of a frame, as large as it is stored."""
        return None if self._masks is None else np.asarray(self._mapped[position] != 0)

    @cached_property
    def _mapped(self) -> npt.NDArray[np.generic]:
        assert self._masks is not None
        return load_masks(_there(self._masks), self._frames)


@dataclass(frozen=True, slots=True)
class Clip:
    """A video, or a folder of images as a video.

    Attributes:
        name: the clip's name, such as 01_0014.
        source: a file or folder that `msflow_stream.video.sources.open_source` opens.
        every: the sampling that is still to be done: 1 where only sampled frames are stored.
        truth: its labels and masks; None for normal clips, and where it is not known.
        step: frames of the original video from one frame of the source to the next.
        rate: frames per second of the original video, as a folder of images cannot say.
    """

    name: str
    source: Path
    every: int
    truth: Truth | None = None
    step: int = 1
    rate: Fraction = Fraction(25)

    def original_index(self, position: int) -> int:
        """Returns the index in the original video of a frame of the source."""
        return position * self.step


@dataclass(frozen=True, slots=True)
class VideoScene:
    """A fixed camera view: normal clips to fit on, clips to test on; either may be empty."""

    name: str
    fit: tuple[Clip, ...]
    test: tuple[Clip, ...]


def select(scenes: Iterable[VideoScene], names: Sequence[str] | None) -> list[VideoScene]:
    """Returns the scenes of these names, in the order of the data set; all if None.

    Raises:
        UserError: there is no scene of a name.
    """
    known = {scene.name: scene for scene in scenes}
    unknown = sorted(set(names or ()) - known.keys())
    if unknown:
        raise UserError(f"no scene {', '.join(unknown)}: there are {', '.join(known)}")
    return [scene for name, scene in known.items() if names is None or name in names]


def frame_files(folder: Path) -> list[Path]:
    """Returns the images of a folder, 2.jpg before 10.jpg."""
    images = (path for path in visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(images, key=lambda path: [int(part) if part.isdecimal() else part for part in _parts(path.name)])


def visible(folder: Path) -> list[Path]:
    """Returns the entries of a folder, by name, but for hidden files; none if there is no such folder."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def clip_sources(folder: Path) -> dict[str, Path]:
    """Returns the videos and folders by the names of the clips that they are.

    Raises:
        UserError: two of one name.
    """
    found: dict[str, Path] = {}
    for path in visible(folder):
        if not path.is_dir() and path.suffix.lower() not in VIDEO_SUFFIXES:
            continue
        other = found.setdefault(path.name if path.is_dir() else path.stem, path)
        if other != path:
            raise UserError(f"{other} and {path.name} are clips of the same name: move one away")
    return found


def need(root: Path, names: Sequence[str], tree: str) -> Path:
    """Returns the first of these folders that is in a tree.

    Raises:
        UserError: none is; it says what is there instead.
    """
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise UserError(f"{root} is no {tree} tree: it should hold the folder {' or '.join(names)}, {holds(root)}")


def holds(folder: Path) -> str:
    """Returns the words for what a folder holds, for messages."""
    if not folder.is_dir():
        return "but there is no such folder" if not folder.exists() else "but it is a file"
    names = [path.name for path in visible(folder)]
    return f"but it holds {', '.join(names[:6])}{', ...' * (len(names) > 6)}" if names else "but it is empty"


def _parts(name: str) -> list[str]:
    return re.split(r"(\d+)", name.casefold())  # text and digits take turns, so that like is compared with like


def _there(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"{path} does not exist: its clip has frames but no truth")
    return path
