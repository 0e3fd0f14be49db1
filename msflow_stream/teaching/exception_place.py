"""The place of an event as shares of the view: where its regions were, how strong it was there, and how long."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from msflow_stream.events.detection.reasons import UNUSUAL
from msflow_stream.types import SCORE_KINDS, WHOLE_VIEW, Box, Event, Scores, UserError, Why

ShareBox = tuple[float, float, float, float]  # x, y, width, height: shares of the view
Mask = npt.NDArray[np.bool_]  # H W

GRID = 48  # cells of a side of the view, that a place is made of
MOST_SWEPT = 0.75  # of the view: what crosses more of it has no place
GROWN, LEAST = 0.1, 0.015  # by which a region is larger than it was: of its own size, and of the view
LEAD = 2.0  # seconds before and behind an event that its thing was already or still to be seen
BETWEEN = 8  # steps between two points of a path: it was there, too
MOST = 1e6  # powers of ten; a broken frame's are infinite
NEAR = 0.03  # of the view: so near is the same thing a moment earlier
LARGE = 0.1  # of the largest region: smaller ones do not say where the event was
COMPANY, LEAST_COMPANY = 0.25, 1.0  # of what a part said at most, and powers of ten: so much is still the same thing
AT_ONCE = 0.5  # seconds after its start, or before its end


class SeenFrame(NamedTuple):
    """A frame of an event as it was recorded: its regions in pixels, and its scores."""

    time: float
    boxes: Sequence[Box]
    scores: Scores
    why: Why | None


class Strength(NamedTuple):
    """The most that an event said.

    Attributes:
        appearance, motion: powers of ten, as in `Why`; 0 where that is not known.
        peaks: the highest of each kind of score that is known.
        unseen: seconds at most in a row in which it moved unusually and looked (nearly) normal.
    """

    appearance: float
    motion: float
    peaks: dict[str, float]
    unseen: float = 0.0


def place_of(event: Event, size: tuple[int, int], seen: Sequence[SeenFrame] = ()) -> tuple[ShareBox, ...]:
    """Returns the place of an event as boxes that do not overlap.

    Args:
        event: with its tracks, and its regions at the peak.
        size: width and height of the source's frames.
        seen: its frames, and those shortly before and behind it.

    Raises:
        UserError: nothing tells where it was, or it was in most of the view.
    """
    boxes = [*event.regions, *(box for track in event.tracks for box in _between(track.path))]
    largest = max((w * h for _, _, w, h in boxes), default=0)
    shares = [_share(box, size) for box in boxes if box[2] * box[3] >= LARGE * largest]
    if not shares:
        raise UserError("nothing is known of where this event was, so there is no place to make an exception for")
    shares += _earlier_and_later(event, size, seen)
    cells = mask_of([_grown(box) for box in shares], (GRID, GRID))
    at_once = max(mask_of([_share(box, size)], (GRID, GRID)).mean() for box in boxes)
    if at_once > WHOLE_VIEW or cells.mean() > MOST_SWEPT:
        raise UserError(
            f"this event covers {max(at_once, cells.mean()):.0%} of the view: an exception for so much would hide what "
            "must be seen; label it normal, and the next fit learns it"
        )
    return tuple(_rectangles(cells))


def strength_of(event: Event, seen: Sequence[SeenFrame] = ()) -> Strength:
    """Returns how strong an event was, by its frames as far as they are known, else by what it says of itself."""
    why = event.why
    appearance, motion = (0.0, 0.0) if why is None else (why.appearance, why.motion or 0.0)
    peaks: dict[str, float] = {event.triggers[0]: event.peak_score} if event.triggers[0] in SCORE_KINDS else {}
    if why is not None:
        peaks["combined"] = event.peak_score
    during = [frame for frame in seen if event.start <= frame.time <= _end(event)]
    for frame in during:
        if frame.why is not None:
            appearance = max(appearance, frame.why.appearance)
            motion = max(motion, frame.why.motion or 0.0)
        for kind, value in zip(SCORE_KINDS, frame.scores, strict=True):
            if math.isfinite(value) and value > peaks.get(kind, -math.inf):
                peaks[kind] = value
    return Strength(min(appearance, MOST), min(motion, MOST), peaks, _unseen(during, appearance))


def looks_like(appearance: float, most: float) -> bool:
    """Returns whether something that looks so unusual may be what looked so unusual at most."""
    return appearance >= max(LEAST_COMPANY, COMPANY * most)


def _unseen(frames: Sequence[SeenFrame], most: float) -> float:
    """Returns for how long a thing moved unusually at most, while it hardly looked so."""
    longest, since = 0.0, None
    for frame in sorted((one for one in frames if one.why is not None), key=lambda one: one.time):
        assert frame.why is not None
        if looks_like(frame.why.appearance, most) or (frame.why.motion or 0.0) < UNUSUAL:
            since = None
            continue
        since = frame.time if since is None else since
        longest = max(longest, frame.time - since)
    return longest


def seconds_of(event: Event) -> float:
    """Returns how long an event lasted; one that is open, how long so far."""
    return _end(event) - event.start


def mask_of(boxes: Sequence[ShareBox], size: tuple[int, int]) -> Mask:
    """Returns the pixels of an image of `size` (height, width) of which any part is in one of the boxes."""
    height, width = size
    mask = np.zeros(size, np.bool_)
    for x, y, across, down in boxes:
        rows = slice(max(0, math.floor(y * height + 1e-6)), max(0, math.ceil((y + down) * height - 1e-6)))
        mask[rows, max(0, math.floor(x * width + 1e-6)) : max(0, math.ceil((x + across) * width - 1e-6))] = True
    return mask


def _end(event: Event) -> float:
    if event.end is not None:
        return event.end
    return max([event.start, *(track.end for track in event.tracks)])


def _share(box: Box, size: tuple[int, int]) -> ShareBox:
    (x, y, w, h), (width, height) = box, size
    return x / width, y / height, w / width, h / height


def _grown(box: ShareBox) -> ShareBox:
    x, y, w, h = box
    across, down = LEAST + GROWN * w, LEAST + GROWN * h
    return x - across, y - down, w + 2 * across, h + 2 * down


def _between(path: Sequence[tuple[float, Box]]) -> Iterator[Box]:
    """Yields the boxes of a path, and those between them."""
    yield path[0][1]
    for (_, first), (_, second) in pairwise(path):
        for step in range(1, BETWEEN + 1):
            share = step / BETWEEN
            x, y, w, h = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
            yield x, y, w, h


def _earlier_and_later(event: Event, size: tuple[int, int], seen: Sequence[SeenFrame]) -> Iterator[ShareBox]:
    """Yields the regions just before and behind an event that its things came from and went to."""
    if not event.tracks:
        return
    end = max(track.end for track in event.tracks)
    before = sorted((one for one in seen if event.start - LEAD <= one.time < event.start), key=lambda one: -one.time)
    behind = sorted((one for one in seen if end < one.time <= end + LEAD), key=lambda one: one.time)
    first = [track.path[0][1] for track in event.tracks if track.start <= event.start + AT_ONCE]
    last = [track.path[-1][1] for track in event.tracks if track.end >= end - AT_ONCE]
    for frames, boxes in ((before, first), (behind, last)):
        nearest = [_share(box, size) for box in boxes]
        for frame in frames:
            found = [_share(box, size) for box in frame.boxes]
            nearest = [box for box in found if any(_is_near(box, other) for other in nearest)] or nearest
            yield from nearest


def _is_near(first: ShareBox, second: ShareBox) -> bool:
    (x, y, w, h), (other_x, other_y, other_w, other_h) = first, second
    across = max(other_x - x - w, x - other_x - other_w)
    down = max(other_y - y - h, y - other_y - other_h)
    return max(across, down) <= NEAR


def _rectangles(cells: Mask) -> Iterator[ShareBox]:
    """Yields the boxes that a mask is made of: runs of a row, and those below them that are as wide."""
    rows, columns = cells.shape
    open_: dict[tuple[int, int], int] = {}  # run to its first row
    for row in range(rows + 1):
        edges = np.flatnonzero(np.diff(np.pad(cells[row], 1).astype(np.int8))) if row < rows else np.zeros(0, np.int64)
        runs = {(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)}
        for run in sorted(open_.keys() - runs):
            top = open_.pop(run)
            yield run[0] / columns, top / rows, (run[1] - run[0]) / columns, (row - top) / rows
        for run in runs - open_.keys():
            open_[run] = row
