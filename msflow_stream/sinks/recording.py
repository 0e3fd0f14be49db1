"""One segment of a recording, from its first frame to its last."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from msflow_stream.types import Frame, UserError
from msflow_stream.video.writing.video_writer import VideoWriter

TICK = Fraction(1, 1_000_000)  # seconds; Frame.time goes on over reconnects, its pts does not


class Recording:
    """An overlay video that is being written; what the disk took of it can be played, whatever goes wrong.

    Attributes:
        path: the file, there from the first frame on.
    """

    def __init__(self, path: Path, first: Frame, rate: Fraction, seconds: float, gap: float) -> None:
        """Prepares a segment.

        Args:
            first: the frame that it is to begin with.
            rate: about how many frames a second come.
            seconds: of video it holds at most.
            gap: seconds between two frames, forwards or back, that it does not hold.

        Raises:
            UserError: the folder does not exist.
        """
        self.path = path
        self._shape = first.image.shape
        self._start = self._last = first.time
        self._seconds, self._gap = seconds, gap
        self._writer = VideoWriter(path, self._shape[1], self._shape[0], TICK, rate)

    def holds(self, frame: Frame) -> bool:
        """Whether a frame is to be part of it: of the same size, soon after the last one, and not too late."""
        return (
            frame.image.shape == self._shape
            and abs(frame.time - self._last) <= self._gap
            and frame.time - self._start < self._seconds
        )

    def write(self, picture: npt.NDArray[np.uint8], time: float) -> None:
        """Adds a picture, shown from `time` on.

        Raises:
            UserError: it cannot be written.
        """
        self._last = time
        self._writer.write(picture, round(time / TICK))

    def close(self) -> None:
        """Finishes the file; twice is fine.

        Raises:
            UserError: its end cannot be written.
        """
        self._writer.close()

    def abandon(self) -> int:
        """Ends it after a failure: leaves what can be played, or no file, and returns how many frames it lacks."""
        with suppress(UserError):
            self._writer.close()
        present = frames_in(self.path)
        if present == 0:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        return max(0, self._writer.frames - present)


def frames_in(path: Path) -> int:
    """How many whole frames are in a video file that may be cut off."""
    count = 0
    with suppress(OSError, ValueError, IndexError), av.open(str(path.absolute())) as container:
        for packet in container.demux(video=0):
            count += bool(packet.size) and not packet.is_corrupt
    return count
