"""A clip of scored frames, coded anew: with their overlay, or as they are where packets cannot be copied."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from av.video.frame import VideoFrame

from msflow_stream.events.evidence.event_folder import ClipFile, free_stem
from msflow_stream.types import UserError
from msflow_stream.video.packets.stream_copy import plays
from msflow_stream.video.writing.video_writer import VideoWriter

TICK = Fraction(1, 1_000_000)  # seconds


class FrameClip:
    """Writes overlay.mp4 or clip.mp4; after a failure what was written plays.

    Attributes:
        last: the time of the latest frame, None before the first.
        over: nothing more will be written.
        cut_short: it ended at its greatest length, before what it was to show did.
    """

    def __init__(self, folder: Path, stem: str, rate: float, max_seconds: float) -> None:
        """Prepares a clip; `rate` is about how many frames a second come."""
        self._folder, self._stem, self._max_seconds = folder, stem, max_seconds
        self._rate = Fraction(rate).limit_denominator(1000)
        self._writer: VideoWriter | None = None
        self._path: Path | None = None
        self._start = 0.0
        self.last: float | None = None
        self.over = self.cut_short = False

    @property
    def parts(self) -> list[ClipFile]:
        """The file, if there is one."""
        if self._path is None or self.last is None:
            return []
        return [ClipFile(self._path.name, self._start, self.last, False)]

    def write(self, frame: VideoFrame, time: float) -> None:
        """Adds a planar frame, shown from `time` on.

        Raises:
            UserError, OSError: it cannot be written.
        """
        if self.over:
            return
        if self._writer is None:
            self._path = self._folder / f"{free_stem(self._folder, self._stem)}.mp4"
            self._writer = VideoWriter(self._path, frame.width, frame.height, TICK, self._rate, live=True)
            self._start = time
        if time - self._start > self._max_seconds:
            self.cut_short = True
            self.finish()
            return
        self._writer.write(frame, round(time / TICK))
        self.last = time

    def finish(self) -> None:
        """Ends the clip; twice is fine.

        Raises:
            UserError: its end cannot be written.
        """
        self.over = True
        if self._writer is not None:
            self._writer.close()

    def abandon(self) -> None:
        """Ends the clip after a failure; a file that shows nothing is removed."""
        with suppress(UserError, OSError):
            self.finish()
        if self._path is not None and not plays(self._path):
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._path = None
