"""The frames of labelled events: sampled from their clips as the scene samples, and which of them teach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from msflow_stream.teaching.taught import TaughtEvent
from msflow_stream.types import Box, Frame, UserError
from msflow_stream.video.motion import PLACES
from msflow_stream.video.sources import open_source

PER_EVENT = 40  # frames of an event that teach, at most
MOST = 600  # of all events
LEAST = 8  # of an event, however many events there are
AROUND = 0.5  # seconds: what makes an event is there before the score has risen, and after it has fallen
GROWN = 0.5  # of the size of a region, on every side: what moves reaches beyond what looked unusual

Span = tuple[float, float]


def clip_frames(event: TaughtEvent, every: int) -> Iterator[tuple[Frame, tuple[int, int]]]:
    """Yields every so many frames of an event's clips, with the clip's width and height.

    Their source is the event's id, their time that of the source.
    """
    for clip in event.clips:
        with closing(open_source(str(clip.path), every, motion_every=every)) as reader:
            for frame in reader:
                size = reader.info.width, reader.info.height
                yield replace(frame, source=event.id, time=frame.time + clip.start), size


def unreadable_clip(event: TaughtEvent) -> str | None:
    """Returns the name of a clip of an event that cannot be read; None where all can."""
    for clip in event.clips:
        try:
            with closing(open_source(str(clip.path), motion_every=None)):
                pass
        except UserError:
            return clip.path.name
    return None


def teaching_frames(event: TaughtEvent, most: int, every: int, kept_out: Sequence[Span]) -> Iterator[Frame]:
    """Yields the frames that teach: those of the event's span, and shortly around it, that are in none of `kept_out`.

    Of a short event they are denser than the scene samples: there are few enough of them.

    Args:
        event: labelled normal.
        most: so many frames, about.
        every: the scene samples every so many.
        kept_out: spans of the same source that hold a violation.
    """
    start, end = event.span[0] - AROUND, event.span[1] + AROUND
    for frame, _ in clip_frames(event, _stride(event, most, every)):
        within = start <= frame.time <= end
        if within and not any(first - AROUND <= frame.time <= last + AROUND for first, last in kept_out):
            yield frame


def share_of(events: int) -> int:
    """Returns the frames that each of so many events may teach with."""
    return min(PER_EVENT, max(LEAST, MOST // max(1, events)))


def place_of(event: TaughtEvent) -> npt.NDArray[np.bool_]:
    """Returns the places (PLACES) where the event was, somewhat grown; all of them where it says nothing of that."""
    boxes = [*event.event.regions, *(box for track in event.event.tracks for _, box in track.path)]
    size = size_of(event)
    if not boxes or size is None:
        return np.ones(PLACES, np.bool_)
    place = np.zeros(PLACES, np.bool_)
    for box in boxes:
        rows, columns = _cells(box, size)
        place[rows, columns] = True
    return place


def _stride(event: TaughtEvent, most: int, every: int) -> int:
    start, end = event.span
    for clip in event.clips:
        with closing(open_source(str(clip.path), motion_every=None)) as reader:
            return min(every, max(1, int((end - start) * float(reader.info.rate) / most)))
    return every


def size_of(event: TaughtEvent) -> tuple[int, int] | None:
    """Returns the width and height of an event's frames; None where it has no clip."""
    for clip in event.clips:
        with closing(open_source(str(clip.path), motion_every=None)) as reader:
            return reader.info.width, reader.info.height
    return None


def cell_of(box: Box, size: tuple[int, int]) -> tuple[int, int]:
    """Returns the place (row and column of PLACES) in the middle of a box of frames of that size."""
    x, y, width, height = box
    row, column = (y + height / 2) * PLACES[0] / size[1], (x + width / 2) * PLACES[1] / size[0]
    return min(PLACES[0] - 1, int(row)), min(PLACES[1] - 1, int(column))


def _cells(box: Box, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of PLACES that a grown box touches."""
    x, y, width, height = box
    return (
        _outward(y - GROWN * height, y + (1 + GROWN) * height, PLACES[0] / size[1], PLACES[0]),
        _outward(x - GROWN * width, x + (1 + GROWN) * width, PLACES[1] / size[0], PLACES[1]),
    )


def _outward(start: float, end: float, scale: float, most: int) -> slice:
    return slice(max(0, int(start * scale)), min(most, int(np.ceil(end * scale))))
