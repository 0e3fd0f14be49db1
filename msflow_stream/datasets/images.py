"""Still images and their masks as arrays; many images at once, loaded ahead in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from msflow_stream.datasets.clips import mask_at
from msflow_stream.types import UserError

# What Pillow raises for a file that is not an image, is cut off or damaged.
UNREADABLE = (OSError, SyntaxError, ValueError)
READ_AHEAD = 2  # images per worker that are loading or waiting to be taken


def load_image(path: Path) -> npt.NDArray[np.uint8]:
    """Loads an image as uint8 H x W x 3 RGB, upright as its EXIF orientation says.

    Grey is repeated, palettes, CMYK and the like are converted, alpha is dropped. Numbers of more than 8 bits are taken
    to fill their range, never stretched to the image's own, so that images stay comparable:

    - grey of 16 bits is divided by 257 (65535 becomes 255) and rounded; of colours of 16 bits the high byte is taken;
    - floats up to 2 are taken to have 1 as white, others 255; a tenth beyond black and white is clipped.

    Raises:
        UserError: the file is no image, is cut off or damaged, or its numbers do not say how bright they are.
    """
    image = _decoded(path)
    if image.mode == "F":
        return _repeated(_from_floats(np.asarray(image), path))
    if image.mode.startswith("I"):
        return _repeated(_from_integers(np.asarray(image), path))
    if "transparency" in image.info:  # of a palette; Pillow wants it turned into alpha first
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"), np.uint8)


def load_images(paths: Iterable[Path], workers: int) -> Generator[npt.NDArray[np.uint8]]:
    """Loads images in parallel threads and yields them in order, see `load_image`.

    At most two images per worker are in memory beside the one just taken, however slow the taker is. An image that
    cannot be read raises at its turn, after those before it; whoever stops early closes the iterator.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    return _loaded(iter(paths), workers)


def load_mask(path: Path, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Loads a defect's mask, an image or a .npy file, as bool h x w of the wanted size (height, width).

    Any pixel but a black or a fully transparent one is anomalous, however faint; sizes differ by nearest neighbour.
    A mask in a lossy format (JPEG) is thus wider than it was drawn.

    Raises:
        UserError: the file is no image and no H x W array of numbers.
    """
    mask = _array(path) if path.suffix.lower() == ".npy" else _marked(_decoded(path))
    return mask_at(mask[None], 0, size)


def _loaded(paths: Iterator[Path], workers: int) -> Generator[npt.NDArray[np.uint8]]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="load-images")
    try:
        ahead = deque(pool.submit(load_image, path) for path in islice(paths, READ_AHEAD * workers))
        while ahead:
            image = ahead.popleft().result()
            ahead.extend(pool.submit(load_image, path) for path in islice(paths, 1))
            yield image
    finally:
        pool.shutdown(cancel_futures=True)


def _decoded(path: Path) -> Image.Image:
    """The pixels as Pillow has them, turned upright."""
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image)  # a copy, also of an image that is upright
    except (FileNotFoundError, PermissionError) as error:
        raise UserError(f"{path}: {str(error.strerror).lower()}; check the path and the file's mode") from None
    except Image.DecompressionBombError:
        raise UserError(f"{path}: more pixels than an honest image has; make it smaller or remove it") from None
    except UNREADABLE:
        raise UserError(f"{path}: not an image that can be read, or cut off; export it again or remove it") from None


def _from_integers(grey: npt.NDArray[np.generic], path: Path) -> npt.NDArray[np.uint8]:
    values = grey.astype(np.float64)
    if values.min() < 0 or values.max() > 65535:
        raise UserError(f"{path}: values from {values.min():g} to {values.max():g}; export it with 8 or 16 bits")
    return np.round(values / 257).astype(np.uint8)


def _from_floats(grey: npt.NDArray[np.generic], path: Path) -> npt.NDArray[np.uint8]:
    values = grey.astype(np.float64)
    white = 1.0 if values.max() <= 2 else 255.0  # resampling overshoots: an image of 0 to 1 may well reach 1.05
    if not (values.min() >= -0.1 * white and values.max() <= 1.1 * white):  # so that NaN is refused too
        extremes = f"values from {values.min():g} to {values.max():g}"
        raise UserError(f"{path}: {extremes} do not say what is white; export it with 8 or 16 bits, or as 0 to 1")
    return np.round(values * (255 / white)).clip(0, 255).astype(np.uint8)


def _repeated(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.repeat(grey[:, :, None], 3, axis=2)  # H W 3


def _marked(image: Image.Image) -> npt.NDArray[np.bool_]:
    if image.mode in ("1", "L", "F") or image.mode.startswith("I"):
        return np.asarray(np.asarray(image) != 0)
    pixels = np.asarray(image.convert("RGBA"))  # a palette counts by its colours: 0 need not be black
    return np.asarray(pixels[..., :3].any(axis=-1) & (pixels[..., 3] != 0))


def _array(path: Path) -> npt.NDArray[np.bool_]:
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except Exception:  # on a damaged header NumPy lets through whatever it meets: TokenError, OverflowError, ...
        raise UserError(f"{path} is not a .npy file of numbers (H x W)") from None
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "buif":
        raise UserError(f"{path} should hold a mask H x W, it holds {array.dtype} {array.shape}")
    return np.asarray(array != 0)
