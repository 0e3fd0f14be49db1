"""Motion: the small grey image in which it is looked for."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

MOTION_SIZE = (256, 384)  # height, width
COARSE = 2.5  # pixels to one, beyond which interpolation between neighbours would leave too many out


def grey(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Returns an image (H x W x 3, RGB) as grey levels at MOTION_SIZE, stretched to it.

    Halved as long as it is at least twice as large, which is several times faster than one step; odd sizes lose a line.
    """
    one = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # H W
    height, width = MOTION_SIZE
    while one.shape[0] >= 2 * height and one.shape[1] >= 2 * width:
        rows, columns = one.shape[0] // 2, one.shape[1] // 2
        one = cv2.resize(one[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
    coarse = max(one.shape[0] / height, one.shape[1] / width) > COARSE
    return np.asarray(
        cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA if coarse else cv2.INTER_LINEAR), np.uint8
    )
