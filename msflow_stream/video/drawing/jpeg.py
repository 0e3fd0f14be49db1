"""Images as JPEG, in memory."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

QUALITY = 90


def to_jpeg(image: npt.NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """Returns an image, uint8 H x W x 3, RGB, as a JPEG file of a quality from 0 to 100."""
    _, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return content.tobytes()


def from_jpeg(content: bytes) -> npt.NDArray[np.uint8]:
    """Returns the image of a JPEG file that `to_jpeg` made, uint8 H x W x 3, RGB."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
