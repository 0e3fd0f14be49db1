"""Images and planar frames as JPEG, in memory."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from msflow_stream.video.planar import PlanarTags, plane_views

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


class PlanarJpeg:
    """A planar frame (see `planar_copy`) in a few bytes, in its own colours; no file, as nobody else could read it.

    Its planes are one grey image, chroma side by side below luma: no colours are converted, neither now nor later.

    Attributes:
        nbytes: its size.
    """

    def __init__(self, frame: VideoFrame, quality: int = QUALITY) -> None:
        luma, blue, red = plane_views(frame)
        grey = np.vstack([luma, np.hstack([blue, red])])
        self._content = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        self._tags = PlanarTags.of(frame)
        self.nbytes = len(self._content)

    def frame(self) -> VideoFrame:
        """Returns the frame."""
        grey = cv2.imdecode(np.frombuffer(self._content, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert grey is not None
        frame = self._tags.new()
        luma, *chroma = plane_views(frame)
        luma[:] = grey[: frame.height]
        for plane, values in zip(chroma, np.hsplit(grey[frame.height :], 2), strict=True):
            plane[:] = values
        return frame
