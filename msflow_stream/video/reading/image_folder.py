"""A folder of images as one source: each image is a frame, in natural order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps

from msflow_stream.files import IMAGE_SUFFIXES
from msflow_stream.names import portable_name
from msflow_stream.types import Earlier, Frame, UserError
from msflow_stream.video.cards import Decoder
from msflow_stream.video.motion import grey
from msflow_stream.video.reading.companions import CompanionRule
from msflow_stream.video.reading.source_info import OneShot, ReadLimits, SourceInfo

# What Pillow raises for a file that is not an image, is cut off or damaged; Image.DecompressionBombError for a bomb.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class ImageFolderReader(OneShot):
    """The images of one folder as frames, 2.jpg before 10.jpg. A context manager; to be iterated once.

    Attributes:
        info: the facts of the source; sizes are the first image's.
        damaged: always 0; an image that cannot be read ends the reading with a UserError.
        frames_read: images passed so far, whether yielded or not.
    """

    def __init__(
        self,
        folder: str | Path,
        every: int = 1,
        rate: Fraction = Fraction(25),
        *,
        motion_every: int | None = 1,
        max_frames: int | None = None,
        duration: float | None = None,
    ) -> None:
        """Lists the folder and looks at the first image's header.

        Args:
            every: yield the images whose index is a multiple of this; of the others, only companions are opened.
            rate: images per second, as the images cannot say.
            motion_every: of the images that are yielded, those whose index is a multiple of this come with what was
                `earlier`; None: none do, and nothing is opened for it.
            max_frames: stop after this many images of the folder.
            duration: stop after this many seconds of the source.

        Raises:
            UserError: the folder is missing or holds no image, or the first one cannot be read.
        """
        if every < 1:
            raise ValueError(f"every must be at least 1, not {every}")
        if rate <= 0:
            raise UserError(f"the rate of an image folder must be above 0, not {rate}")
        self.damaged = 0
        self.frames_read = 0
        self.decoder: Decoder = "cpu"
        self._limits = ReadLimits(max_frames, duration)
        self._every, self._motion_every = every, motion_every
        self._paths = image_files(Path(folder))
        if not self._paths:
            raise UserError(f"{folder}: no images in this folder; looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
        width, height, codec = _header(self._paths[0])
        self.info = SourceInfo(
            name=portable_name(Path(folder).resolve().name),
            width=width,
            height=height,
            rate=Fraction(rate),
            time_base=1 / Fraction(rate),
            frames=len(self._paths),
            duration=float(len(self._paths) / Fraction(rate)),
            codec=codec,
            has_audio=False,
            live=False,
            start_pts=0,
        )
        super().__init__(self.info.name, "a reader is read once; open the folder again")

    def _frames(self) -> Iterator[Frame]:
        rule = CompanionRule(self.info.time_base)
        step = (
            rule.least if rule.least <= rule.most else 0
        )  # from every image's companion to the image; 0: there is none
        companions: dict[int, ImageCompanion | None] = {}  # by the index of the image that they are for
        for index, path in enumerate(self._paths):
            time = float(index / self.info.rate)
            if self._limits.reached(index, time):
                return
            self.frames_read = index + 1
            image = read_image(path) if index % self._every == 0 else None
            if step and self._has_companion(index + step):
                companions[index + step] = ImageCompanion.of(path, image)
            if image is not None:
                companion = companions.pop(index, None)
                same_size = companion is not None and companion.shape == image.shape
                earlier = Earlier(companion.grey, rule.seconds(step)) if companion and same_size else None
                yield Frame(self.info.name, index, index, time, None, image, earlier)

    def _has_companion(self, index: int) -> bool:
        """Returns whether the image at this index will be yielded, and with what was earlier."""
        if self._motion_every is None or not index < len(self._paths):
            return False
        beyond = self._limits.reached(index, float(index / self.info.rate))
        return not beyond and index % self._every == 0 and index % self._motion_every == 0

    def close(self) -> None:
        """Does nothing: no file stays open between two images."""


class ImageCompanion(NamedTuple):
    """An image that is the companion of another one: small and grey, and the shape that it had."""

    grey: npt.NDArray[np.uint8]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, path: Path, image: npt.NDArray[np.uint8] | None) -> Self | None:
        """Reads the file if the image is not at hand; returns None where it cannot be read."""
        try:
            image = read_image(path) if image is None else image
        except UserError:
            return None
        return cls(grey(image), image.shape)


def image_files(folder: Path) -> list[Path]:
    """Returns the folder's images in natural order; hidden files are no images.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; check the path")
    images = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((path for path in images if not path.name.startswith(".")), key=natural_order)


def natural_order(path: Path) -> list[tuple[int, str]]:
    """Returns a sort key by which numbers in names count as numbers: 2.jpg, 10.jpg."""
    parts = re.split(r"(\d+)", path.name.casefold())
    # Letters come before numbers; the name itself settles ties such as 01 and 1.
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts if part] + [(-1, path.name)]


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Reads an image as uint8 H x W x 3 RGB, upright; grey becomes three channels, 16 bits become 8, alpha is dropped.

    Raises:
        UserError: the file is no image, is cut off or damaged.
    """
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                # Pillow would clip 16-bit grey at 255 instead of scaling it; 65535 / 257 = 255.
                grey = np.round(np.asarray(image, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8)
                return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except UNREADABLE as error:
        raise UserError(_unreadable(path, error)) from None


def _header(path: Path) -> tuple[int, int, str]:
    """Returns width and height as displayed, and the format's name, without decoding the pixels."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5  # 5 to 8 are quarter turns
            width, height = (image.height, image.width) if turned else (image.width, image.height)
            return width, height, (image.format or path.suffix[1:]).lower()
    except UNREADABLE as error:
        raise UserError(_unreadable(path, error)) from None


def _unreadable(path: Path, error: BaseException) -> str:
    if isinstance(error, PermissionError):
        return f"{path}: no permission to read it; check the file's owner and mode"
    return f"{path}: not an image that can be read, or cut off; export it again or remove it"
