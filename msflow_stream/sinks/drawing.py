"""The overlay of one camera's scored frames, for the sinks that show pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from msflow_stream.types import Frame, FrameScore, ScoreRow
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle


class Drawing:
    """Draws each frame with its own score; the size of the pictures may change."""

    def __init__(self, style: OverlayStyle) -> None:
        self._style = style
        self._overlay: Overlay | None = None

    def draw(self, frame: Frame, score: FrameScore, row: ScoreRow) -> npt.NDArray[np.uint8]:
        """A new picture, uint8 H x W x 3, RGB."""
        if self._overlay is None:
            self._overlay = Overlay(self._style, frame.image.shape[1], frame.image.shape[0])
        return self._overlay.draw(frame.image, score, row.smoothed, frame.time, alarm=bool(row.alarm))
