"""The newest frame of a camera as a JPEG that is replaced again and again."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

from msflow_stream.files import make_folder, replaced
from msflow_stream.logs import Outage
from msflow_stream.types import Frame, FrameScore, ScoreRow
from msflow_stream.video.drawing.jpeg import to_jpeg
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle

logger = logging.getLogger(__name__)

QUALITY = 85  # of the JPEG, 0 to 100


class Preview:
    """A JPEG with the overlay, at most so often; whoever opens it sees a whole image."""

    def __init__(
        self, path: Path, style: OverlayStyle, every_seconds: float = 1.0, *, clock: Callable[[], float] = monotonic
    ) -> None:
        """Prepares; nothing is written before the first frame.

        Raises:
            UserError: its folder cannot be made.
        """
        make_folder(path.parent)
        self._path, self._overlay, self._every, self._clock = path, Overlay(style), every_seconds, clock
        self._last = -math.inf
        self._lost = 0
        self._trouble = Outage(logger)

    @property
    def losses(self) -> Mapping[str, int]:
        """Frames that are not in its output, by cause."""
        return {"disk": self._lost}

    def write(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        """Shows a frame if it is time for one."""
        now = self._clock()
        if now - self._last < self._every:
            return
        self._last = now
        content = to_jpeg(
            self._overlay.draw(frame.image, score, row.smoothed, frame.time, alarm=bool(row.alarm)), QUALITY
        )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replaced(self._path) as partial:
                partial.write_bytes(content)
        except OSError as error:
            self._lost += 1
            self._trouble.begin(f"cannot write {self._path}: {error.strerror}; it stays as it was")
        else:
            self._trouble.end(f"{self._path} is written again")

    def close(self) -> None:
        """Leaves the last image there."""
