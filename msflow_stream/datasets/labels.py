"""Frame labels and pixel masks of clips, as ShanghaiTech Campus stores them: one .npy file per clip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.types import UserError


def find(path: Path, clip: str, alone: bool) -> Path:
    """The file that belongs to a clip: `path` itself, or `<clip>.npy` in it.

    Args:
        path: what the person named, a file or a folder.
        clip: name of the clip.
        alone: whether it is the only clip; a single file can only belong to a single clip.

    Raises:
        UserError: no such file.
    """
    if path.is_file():
        if not alone:
            raise UserError(f"{path} is one file but there are several clips: give a folder with one .npy per clip")
        return path
    found = path / f"{clip}.npy"
    if not found.is_file():
        raise UserError(f"no labels for {clip}: {found if path.is_dir() else path} does not exist")
    return found


def load_labels(path: Path, frames: int) -> npt.NDArray[np.bool_]:
    """One flag per frame of a clip (any nonzero is anomalous).

    Raises:
        UserError: not a one-dimensional .npy file, or another number of frames than the clip has.
    """
    labels = _load(path, 1, "one 0/1 per frame")
    _check_length(path, len(labels), frames)
    return np.asarray(labels, bool)


def load_masks(path: Path, frames: int) -> npt.NDArray[np.generic]:
    """T x H x W, nonzero where anomalous; memory-mapped, so that long clips cost no memory.

    Raises:
        UserError: not a three-dimensional .npy file, or another number of frames than the clip has.
    """
    masks = _load(path, 3, "T x H x W")
    _check_length(path, len(masks), frames)
    return masks


def mask_at(masks: npt.NDArray[np.generic], index: int, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The mask of one frame at a size (height, width), nearest neighbour."""
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
