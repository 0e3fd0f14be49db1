"""The scored frames of the last seconds, small enough to be kept for every camera."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from msflow_stream.types import Frame, FrameScore, Image, ScoreRow
from msflow_stream.video.drawing.jpeg import PlanarJpeg
from msflow_stream.video.pixels import DecodedPixels, planar
from msflow_stream.video.reading.colour import FrameConverter


@dataclass(frozen=True, slots=True)
class RecentFrame:
    """A scored frame with its pixels in a few bytes."""

    jpeg: PlanarJpeg
    shape: tuple[int, ...]  # height and width, and 3
    score: FrameScore
    row: ScoreRow

    @property
    def index(self) -> int:
        """The frame's index in the source."""
        return self.score.index

    @property
    def time(self) -> float:
        """Seconds from the source's start."""
        return self.score.time

    @property
    def size(self) -> int:
        """Bytes that the frame takes."""
        return self.jpeg.nbytes + self.score.map.nbytes

    def pixels(self) -> DecodedPixels:
        """Returns the pixels; an odd width or height has grown by one."""
        return DecodedPixels(self.jpeg.frame(), FrameConverter())

    def image(self) -> Image:
        """Returns the image, uint8 H x W x 3, RGB."""
        return np.ascontiguousarray(self.pixels().image()[: self.shape[0], : self.shape[1]])


class RecentFrames:
    """The scored frames of so many seconds, and of so many bytes at most, but always the last one."""

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self._seconds, self._max_bytes = seconds, max_bytes
        self._frames: deque[RecentFrame] = deque()
        self._bytes = 0
        self._converter = FrameConverter()

    def add(self, frame: Frame, score: FrameScore, row: ScoreRow) -> RecentFrame:
        """Adds the next frame, and returns it as it is kept."""
        added = RecentFrame(PlanarJpeg(planar(frame.pixels, self._converter)), frame.shape, score, row)
        self._frames.append(added)
        self._bytes += added.size
        while len(self._frames) > 1 and not self._fits(added.time):
            self._bytes -= self._frames.popleft().size
        return added

    def _fits(self, now: float) -> bool:
        return self._bytes <= self._max_bytes and 0 <= now - self._frames[0].time <= self._seconds

    def find(self, index: int) -> RecentFrame | None:
        """Returns the frame with this index in the source, or None."""
        return next((frame for frame in reversed(self._frames) if frame.index == index), None)

    def since(self, time: float) -> list[RecentFrame]:
        """Returns the frames from this time on."""
        return [frame for frame in self._frames if frame.time >= time]
