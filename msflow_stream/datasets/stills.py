"""The parts of a data set of still images, and the listing of its folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msflow_stream.files import IMAGE_SUFFIXES
from msflow_stream.types import UserError

GOOD = "good"  # the kind of every image without a defect
MASK_SUFFIXES = IMAGE_SUFFIXES | {".npy"}
CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})  # what file managers and archivers leave behind
SHOWN = 5  # names an error lists


@dataclass(frozen=True, slots=True)
class Still:
    """One image of a data set.

    Attributes:
        path: the image's file.
        kind: "good", or the defect's name.
        mask: file with the defect's pixels; None for a good image, and for a defect nobody has drawn.
        name: the path from the class's folder on, with forward slashes (`test/crack/003.png`): unique in its class.
    """

    path: Path
    kind: str
    mask: Path | None
    name: str

    @property
    def anomalous(self) -> bool:
        """True if the image shows a defect."""
        return self.kind != GOOD


@dataclass(frozen=True, slots=True)
class StillClass:
    """One class of objects: `fit` holds good images only, `test` good and anomalous ones, ordered by kind and name."""

    name: str
    fit: tuple[Still, ...]
    test: tuple[Still, ...]

    @property
    def missing_masks(self) -> tuple[Still, ...]:
        """The anomalous test images without a mask."""
        return tuple(still for still in self.test if still.anomalous and still.mask is None)

    @property
    def has_masks(self) -> bool:
        """True if every anomalous test image has a mask; else only the metrics of whole images can be had."""
        return not self.missing_masks


def as_stills(images: Iterable[Path], kind: str, home: Path, masks: Mapping[str, Path] | None = None) -> list[Still]:
    """Returns the images of one kind as stills.

    Args:
        kind: "good", or the defect's name; good images get no mask.
        home: the class's folder, for the names.
        masks: mask of each stem, see `masks_in`; 003.png has the mask of the stem 003_mask or 003.
    """
    known = masks if masks is not None and kind != GOOD else {}
    return [
        Still(path, kind, known.get(f"{path.stem}_mask") or known.get(path.stem), path.relative_to(home).as_posix())
        for path in images
    ]


def images_in(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Returns the images of a folder, by name.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    images = _files(folder, suffixes) if folder.is_dir() else []
    if not images:
        raise wrong_tree(folder, f"images ({', '.join(sorted(suffixes))})")
    return images


def masks_in(*folders: Path, suffixes: Iterable[str] = MASK_SUFFIXES) -> dict[str, Path]:
    """Returns the masks by their stems; a folder that is missing has none, the first folder's mask of a stem counts."""
    masks: dict[str, Path] = {}
    for folder in folders:
        for path in _files(folder, suffixes) if folder.is_dir() else ():
            masks.setdefault(path.stem, path)
    return masks


def folders_in(folder: Path) -> list[Path]:
    """Returns the folders in a folder, by name.

    Raises:
        UserError: there is no such folder.
    """
    return [path for path in _entries(folder) if path.is_dir()]


def chosen(known: Sequence[str], wanted: Sequence[str] | None, root: Path) -> list[str]:
    """Returns the wanted ones of the known classes, in the order of the known; all of them where none is named.

    Raises:
        UserError: a wanted class is unknown.
    """
    for name in wanted or ():
        if name not in known:
            raise UserError(f"{root}: no class {name}; there are {', '.join(known)}")
    return [name for name in known if not wanted or name in wanted]


def wrong_tree(folder: Path, expected: str) -> UserError:
    """Returns the error of a folder that is no such tree: what was expected, and what is there or beside it."""
    if folder.is_dir():
        return UserError(f"{folder}: expected {expected}; found {_summary(folder)}")
    beside = f"; found {_summary(folder.parent)} in {folder.parent}" if folder.parent.is_dir() else ""
    return UserError(f"{folder}: no such folder; expected {expected} in it{beside}")


def _summary(folder: Path) -> str:
    found = [f"{path.name}/" if path.is_dir() else path.name for path in _entries(folder)]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return (", ".join(found[:SHOWN]) or "nothing") + more


def _files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    return [path for path in _entries(folder) if path.suffix.lower() in suffixes and path.is_file()]


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder, by name; hidden files and clutter are left out."""
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise UserError(f"{folder}: {(error.strerror or 'cannot be listed').lower()}; check the path") from None
    return [path for path in entries if not path.name.startswith(".") and path.name.lower() not in CLUTTER]
