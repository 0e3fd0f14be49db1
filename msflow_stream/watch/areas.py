"""The areas of an image that are watched: polygons to a mask of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from msflow_stream.types import UserError
from msflow_stream.video.polygons import Polygon, inside


def area_mask(
    watch: Sequence[Polygon], ignore: Sequence[Polygon], size: tuple[int, int]
) -> npt.NDArray[np.bool_] | None:
    """Returns the mask of the pixels, of an image of `size` (height, width), in `watch` and not in `ignore`.

    A pixel is in a polygon if its centre is; where a polygon crosses itself, the even-odd rule decides. Without `watch`
    everything is watched. None if neither is given.

    Raises:
        UserError: nothing is left to watch.
    """
    if not watch and not ignore:
        return None
    mask = _union(watch, size) if watch else np.ones(size, np.bool_)
    mask &= ~_union(ignore, size)
    if not mask.any():
        height, width = size
        raise UserError(f"watch and ignore leave no pixel of {width}x{height} to watch: enlarge watch or shrink ignore")
    return mask


def _union(polygons: Sequence[Polygon], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(size, np.bool_)
    for polygon in polygons:
        mask |= inside(polygon, size)
    return mask
