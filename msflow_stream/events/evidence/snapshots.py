"""The picture of an event's peak, as it is and with its overlay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from msflow_stream.events.evidence.event_folder import SNAPSHOT, SNAPSHOT_OVERLAY
from msflow_stream.events.evidence.recent_frames import Scored
from msflow_stream.files import replaced
from msflow_stream.video.drawing.jpeg import to_jpeg
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle

STRIP = 48  # lines of a picture that is drawn on only for what the timeline remembers of it


def write_snapshots(folder: Path, peak: Scored, before: Sequence[Scored], style: OverlayStyle) -> None:
    """Replaces both; `before` are the frames that the overlay's timeline shows.

    Raises:
        OSError: they cannot be written.
    """
    with replaced(folder / SNAPSHOT) as partial:
        partial.write_bytes(peak.jpeg)
    with replaced(folder / SNAPSHOT_OVERLAY) as partial:
        partial.write_bytes(to_jpeg(_drawn(peak, before, style)))


def _drawn(peak: Scored, before: Sequence[Scored], style: OverlayStyle) -> npt.NDArray[np.uint8]:
    image = peak.image()
    overlay = Overlay(style, image.shape[1], STRIP)
    strip = np.zeros((STRIP, image.shape[1], 3), np.uint8)
    for one in before:
        overlay.draw(strip, None, one.row.smoothed, one.time, alarm=False)
    return overlay.draw(image, peak.score, peak.row.smoothed, peak.time, alarm=bool(peak.row.alarm))
