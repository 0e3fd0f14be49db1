"""The overlay of a camera as video, in segments of some minutes, for as long as the disk and the settings allow."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from time import monotonic

import av
from av.video.frame import VideoFrame

from msflow_stream.files import Retention, make_folder
from msflow_stream.logs import Outage
from msflow_stream.types import Frame, FrameScore, Image, ScoreRow, UserError
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle
from msflow_stream.video.writing.video_writer import VideoWriter
from msflow_stream.watch.outputs.segments import free_path, remove_old_segments
from msflow_stream.watch.outputs.sink import arrival

logger = logging.getLogger(__name__)

TICK = Fraction(1, 1_000_000)  # seconds; Frame.time goes on over reconnects, its pts does not
TIDY_SECONDS = 60.0  # between two removals of old segments
FREE_BYTES = 2**20  # without which no segment is begun


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
            seconds: its length at most.
            gap: seconds between two frames, forwards or back, that end it.

        Raises:
            UserError: the folder does not exist.
        """
        self.path = path
        self._shape = first.shape
        self._start = self._last = first.time
        self._seconds, self._gap = seconds, gap
        self._writer = VideoWriter(path, self._shape[1], self._shape[0], TICK, rate, live=True)

    def holds(self, frame: Frame) -> bool:
        """Returns whether a frame is to be part of it: of the same size, soon after the last one, and not too late."""
        return (
            frame.shape == self._shape
            and abs(frame.time - self._last) <= self._gap
            and frame.time - self._start < self._seconds
        )

    def write(self, image: Image | VideoFrame, time: float) -> None:
        """Adds an image or a planar frame, shown from `time` on.

        Raises:
            UserError: it cannot be written.
        """
        self._last = time
        self._writer.write(image, round(time / TICK))

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
    """Returns how many whole frames are in a video file that may be cut off."""
    count = 0
    with suppress(av.FFmpegError, OSError, IndexError), av.open(str(path.absolute())) as container:
        for packet in container.demux(video=0):
            count += bool(packet.size) and not packet.is_corrupt
    return count


class Recorder:
    """A sink of each scored frame with its overlay, in segments named by their start, 2026-11-23T232138Z.mp4.

    A new segment starts after so many minutes, with frames of another size, and after a gap or a step back in time.
    After SIGKILL all is playable but the last second or two (see `VideoWriter`). When the disk is full the segment ends
    where it is; after a pause, old segments are removed as the retention says, and a new one is tried.
    """

    def __init__(
        self,
        folder: Path,
        style: OverlayStyle,
        *,
        rate_hint: float = 5.0,
        minutes: float = 10.0,
        gap: float = 10.0,
        retention: Retention | None = None,
        pause: float = 10.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Prepares; nothing is written before the first frame.

        Args:
            folder: the folder of the camera; segments that earlier runs left there count for the retention.
            rate_hint: about how many scored frames a second come.
            minutes: the length of a segment.
            gap: seconds between two frames that start a new segment.
            retention: the bounds on segments; None keeps all.
            pause: seconds from a failure to the next attempt.
            clock: seconds, monotonic.

        Raises:
            UserError: the folder cannot be made.
        """
        make_folder(folder)
        self._folder, self._overlay = folder, Overlay(style)
        self._rate = Fraction(rate_hint).limit_denominator(1000)
        self._seconds, self._gap = minutes * 60, gap
        self._retention = retention or Retention()
        self._pause, self._clock = pause, clock
        self._recording: Recording | None = None
        self._failed = self._begun = -math.inf  # the last failure and segment, on the clock
        self._tidied = -math.inf
        self._lost = 0
        self._closed = False
        self._trouble, self._untidy = Outage(logger), Outage(logger)

    @property
    def lost(self) -> int:
        """The number of frames that are in no segment because of the disk."""
        return self._lost

    @property
    def losses(self) -> Mapping[str, int]:
        """Frames that are in no segment, by cause."""
        return {"disk": self._lost}

    def write(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        """Writes a frame."""
        if self._closed:
            raise ValueError(f"the recorder in {self._folder} is closed")
        now = arrival(score)
        if self._recording is not None and not self._recording.holds(frame):
            self._finish()
        if self._recording is None and not self._begin(frame, now):
            self._lost += 1
            return
        assert self._recording is not None
        try:
            self._recording.write(self._overlay.draw_scored(frame, score, row), frame.time)
        except UserError as error:
            self._lost += 1  # this one; the others that are missing are found by looking
            self._fail(error)
            return
        if self._clock() - self._begun >= self._pause:  # long enough for some of it to have reached the disk
            self._recover()
        if self._clock() - self._tidied >= TIDY_SECONDS:
            self._tidy(now)

    def close(self) -> None:
        """Finishes the last segment."""
        self._closed = True
        self._finish()

    def _begin(self, frame: Frame, now: datetime) -> bool:
        """Starts a segment, and returns whether there is one."""
        if self._clock() - self._failed < self._pause:
            return False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._tidy(now)
            _check_free(self._folder)
            path = free_path(self._folder, now)
            self._recording = Recording(path, frame, self._rate, self._seconds, self._gap)
            self._begun = self._clock()
        except (OSError, UserError) as error:
            self._fail(error)
        return self._recording is not None

    def _finish(self) -> None:
        if self._recording is None:
            return
        try:
            self._recording.close()
        except UserError as error:
            self._fail(error)
            return
        self._recording = None
        self._recover()

    def _fail(self, error: Exception) -> None:
        """Ends the segment as it is, and has the next one wait."""
        if self._recording is not None:
            self._lost += self._recording.abandon()
            self._recording = None
        self._failed = self._clock()
        why = error.strerror if isinstance(error, OSError) else error
        self._trouble.begin(f"recording in {self._folder} has stopped: {why}; tried again every {self._pause:g} s")

    def _recover(self) -> None:
        self._trouble.end(f"recording in {self._folder} works again; {self._lost} frames are lost so far")

    def _tidy(self, now: datetime) -> None:
        self._tidied = self._clock()
        try:
            writing = None if self._recording is None else self._recording.path
            removed = remove_old_segments(self._folder, self._retention, now, writing)
        except OSError as error:
            self._untidy.begin(f"cannot remove old segments in {self._folder}: {error.strerror}")
            return
        self._untidy.end(f"old segments in {self._folder} are removed again")
        if removed:
            logger.debug("%d old segments removed in %s", removed, self._folder)


def _check_free(folder: Path) -> None:
    """Raises OSError if the folder takes no more; a header that finds no room would cost PyAV an open file for ever."""
    probe = folder / ".probe"
    try:
        probe.write_bytes(bytes(FREE_BYTES))
    finally:
        probe.unlink(missing_ok=True)
