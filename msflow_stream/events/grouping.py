"""Similar events: the same camera, trigger and place, and alike in motion, size and length, or close in time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from msflow_stream.events.detection.reasons import direction, place
from msflow_stream.events.store.tables import StoredEvent
from msflow_stream.types import SCORE_KINDS, SEVERITIES, Box, Event, PartName, Track

Numbers = npt.NDArray[np.float64]

# Usual sizes of frames in pixels: an event does not say how large its camera's are, its boxes only how large at least.
WIDTHS = (160, 240, 320, 360, 480, 640, 768, 960, 1280, 1920, 2560, 3840, 7680)
HEIGHTS = (120, 160, 180, 240, 270, 360, 480, 576, 720, 1080, 1440, 1600, 2160, 4320)

# How much of a feature is a difference of 1: place and way in image widths, the others as logarithms.
PLACE, WAY, HEADING, SIZE, SPEED, LENGTH, TRIGGERS = 0.1, 0.2, 0.45, 1.2, 1.2, 1.8, 0.9
STILL_PLACE = 0.07  # of what stays where it is: its place varies less than that of a way
FARTHEST = 2.0  # difference up to which an event joins a group
CLOSE_SECONDS = 120.0  # since the group's newest event: then it may look more different
CLOSER = 0.5  # the part of differences in size, speed and length that counts then
MOVES = 0.06  # image widths: on a shorter way the direction is noise
OPPOSITE = 0.0  # cosine between two headings below which they are not of one group
NO_HEADING = (0.0, 0.0)
NAMES: tuple[str, ...] = (*SCORE_KINDS, *get_args(PartName))
COLUMNS = 9  # x, y, way x, way y, heading x, heading y, size, speed, length


@dataclass(frozen=True, slots=True)
class EventGroup:
    """Events that look like one cause.

    Attributes:
        events: the oldest first.
        telling: the one that shows it best: the most severe, of those the least probable, then the highest.
        place: where in the image, in words.
        direction: whither it moves, in words; None where it does not, or not in one direction.
    """

    events: tuple[StoredEvent, ...]
    telling: StoredEvent
    place: str | None
    direction: str | None

    @property
    def key(self) -> str:
        """A name that stays while newer events join: the id of the oldest event."""
        return self.events[0].event.id

    @property
    def camera(self) -> str:
        """The source of all events."""
        return self.events[0].event.source

    @property
    def triggers(self) -> list[str]:
        """The triggers of the events, the most frequent first."""
        counts = Counter(name for stored in self.events for name in stored.event.triggers)
        return sorted(counts, key=lambda name: (-counts[name], name))


def group_events(events: Iterable[StoredEvent]) -> list[EventGroup]:
    """Returns the events in groups of similar ones, the largest first.

    Each event, the oldest first, joins the group whose mean it is most like, or begins one. So the order in which they
    are given does not matter, and newer events change nothing among older ones.
    """
    ordered = sorted(events, key=lambda stored: (stored.happened, stored.event.id))
    sizes = frame_sizes(stored.event for stored in ordered)
    gathered: dict[tuple[str, str], _Gathering] = {}
    for stored in ordered:
        event = stored.event
        key = (event.source, family(event))
        gathered.setdefault(key, _Gathering()).add(stored, features(event, sizes[event.source]))
    groups = [_described(members, rows, sizes) for one in gathered.values() for members, rows in one.groups()]
    return sorted(groups, key=lambda group: (-len(group.events), group.events[0].happened, group.key))


def family(event: Event) -> str:
    """Returns what opened an event, as far as two of one cause agree in it: that it moved, or how it looks."""
    first = event.triggers[0] if event.triggers else ""
    return first if first in ("motion", "view") else "looks"


def frame_sizes(events: Iterable[Event]) -> dict[str, tuple[int, int]]:
    """Returns the least usual width and height that hold all boxes of each source; frames are wider than high."""
    reach: dict[str, tuple[int, int]] = {}
    for event in events:
        boxes = [*event.regions, *(box for track in event.tracks for _, box in track.path)]
        wide, high = reach.get(event.source, (1, 1))
        wide = max([wide, *(x + w for x, _, w, _ in boxes)])
        reach[event.source] = wide, max([high, *(y + h for _, y, _, h in boxes)])
    return {
        source: (_usual(max(wide, high * 4 // 3), WIDTHS), _usual(high, HEIGHTS))
        for source, (wide, high) in reach.items()
    }


def features(event: Event, size: tuple[int, int]) -> Numbers:
    """Returns what an event is compared by: the middle of its way, the way, its heading, size, speed and length.

    All in image widths and seconds, size, speed and length as logarithms; of the longest track, else the largest
    region, else where its reason says it was.
    """
    width = size[0]
    track = max(event.tracks, key=_weight, default=None)
    start, end = _ends(event, track, size)
    middle, way = (start + end) / 2, end - start
    seconds = max((event.end or event.start) - event.start, 0.2)
    moved = float(np.hypot(*way[:2]))
    lasted = seconds if track is None else max(track.end - track.start, 0.2)
    heading = _heading(event, way[:2], moved)
    scale = np.log(max(math.sqrt(max(middle[2] * middle[3], 1e-6)), 4 / width))
    speed = math.log(max(moved / lasted, 0.01))
    return np.array([*middle[:2], *way[:2], *heading, scale, speed, math.log(seconds)])


def _ends(event: Event, track: Track | None, size: tuple[int, int]) -> tuple[Numbers, Numbers]:
    """Returns the first and the last box (centre x, y, width, height) in image widths."""
    if track is not None:
        first, *_, last = [track.path[0], track.path[-1]]
        return _centred(first[1], size), _centred(last[1], size)
    if event.regions:
        one = _centred(max(event.regions, key=lambda box: box[2] * box[3]), size)
        return one, one
    at = (0.5, 0.5) if event.why is None else event.why.at
    one = np.array([at[0], at[1] * size[1] / size[0], 0.1, 0.1])
    return one, one


def _centred(box: Box, size: tuple[int, int]) -> Numbers:
    x, y, w, h = box
    return np.array([x + w / 2, y + h / 2, w, h]) / size[0]


def _heading(event: Event, way: Numbers, moved: float) -> tuple[float, float]:
    """Returns the direction of motion as a unit vector, shorter where it hardly moves."""
    if moved >= MOVES:
        return float(way[0] / moved), float(way[1] / moved)
    velocity = None if event.why is None or event.why.trigger != "motion" else event.why.velocity
    if velocity is None or (speed := math.hypot(*velocity)) == 0:
        return NO_HEADING
    return velocity[0] / speed, velocity[1] / speed


def _weight(track: Track) -> tuple[float, int, int]:
    box = track.path[-1][1]
    return track.end - track.start, box[2] * box[3], -track.number


def _usual(reach: int, known: Sequence[int]) -> int:
    return next((one for one in known if one >= reach), reach)


class _Gathering:
    """Groups of one camera and family while events are added: their means, and who is in them."""

    def __init__(self) -> None:
        self._members: list[list[StoredEvent]] = []
        self._rows: list[list[Numbers]] = []
        self._means = np.zeros((16, COLUMNS))
        self._newest = np.zeros(16)
        self._names = np.zeros((16, len(NAMES)))  # how many members have each trigger

    def add(self, stored: StoredEvent, row: Numbers) -> None:
        """Adds the next event, not older than those before."""
        now, count = stored.happened.timestamp(), len(self._members)
        if count:
            different = _differences(self._means[:count], row, now - self._newest[:count])
            different = np.hypot(different, self._strange(stored.event, count))
            best = int(np.argmin(different))
            if different[best] <= FARTHEST:
                self._join(best, stored, row, now)
                return
        if count == len(self._newest):
            self._means, self._newest, self._names = (
                np.concatenate([known, np.zeros_like(known)]) for known in (self._means, self._newest, self._names)
            )
        self._members.append([])
        self._rows.append([])
        self._join(count, stored, row, now)

    def groups(self) -> Iterable[tuple[list[StoredEvent], Numbers]]:
        """Returns the members of each group, and their features (N x 9)."""
        return ((members, np.array(rows)) for members, rows in zip(self._members, self._rows, strict=True))

    def _join(self, place: int, stored: StoredEvent, row: Numbers, now: float) -> None:
        self._members[place].append(stored)
        self._rows[place].append(row)
        self._means[place] += (row - self._means[place]) / len(self._members[place])
        self._newest[place] = now
        self._names[place] += _marks(stored.event)

    def _strange(self, event: Event, count: int) -> Numbers:
        """Returns how far its triggers are from each group's: 1 less what they share of all that either has."""
        own, members = _marks(event), np.array([len(one) for one in self._members])
        usual = self._names[:count] / members[:, None]
        shared, either = np.minimum(usual, own).sum(axis=1), np.maximum(usual, own).sum(axis=1)
        return np.asarray((1 - shared / np.maximum(either, 1e-9)) / TRIGGERS)


def _marks(event: Event) -> Numbers:
    """Returns 1 for each trigger that an event has."""
    return np.array([float(name in event.triggers) for name in NAMES])


def _differences(means: Numbers, row: Numbers, seconds: Numbers) -> Numbers:
    """Returns how different an event is from each group (N x 9) whose newest event is so many seconds older."""
    apart = row - means
    less = np.where(seconds <= CLOSE_SECONDS, CLOSER, 1.0)
    length = np.hypot(means[:, 4], means[:, 5]) * math.hypot(row[4], row[5])
    cosine = means[:, 4] * row[4] + means[:, 5] * row[5]
    near = PLACE if math.hypot(row[2], row[3]) >= MOVES else STILL_PLACE
    where = (apart[:, 0] ** 2 + apart[:, 1] ** 2) / near**2 + (apart[:, 2] ** 2 + apart[:, 3] ** 2) / WAY**2
    heading = (apart[:, 4] ** 2 + apart[:, 5] ** 2) / HEADING**2
    looks = (apart[:, 6] / SIZE) ** 2 + (apart[:, 7] / SPEED) ** 2 + (apart[:, 8] / LENGTH) ** 2
    different = np.sqrt(where + np.where(length > 0, heading, 0.0) + looks * less**2)
    return np.asarray(np.where((length > 0) & (cosine < OPPOSITE * length), np.inf, different))


def _described(members: list[StoredEvent], rows: Numbers, sizes: dict[str, tuple[int, int]]) -> EventGroup:
    """Returns a group with what its members have in common in words."""
    width, height = sizes[members[0].event.source]
    whys = Counter(stored.event.why.place for stored in members if stored.event.why is not None)
    middle = rows.mean(axis=0)
    where = whys.most_common(1)[0][0] if whys else None
    if where is None and any(stored.event.regions or stored.event.tracks for stored in members):
        where = place(middle[0], middle[1] * width / height)
    whole = all(family(stored.event) == "view" for stored in members)
    steady = math.hypot(middle[4], middle[5]) > 0.6
    telling = max(members, key=_telling)
    return EventGroup(
        tuple(members),
        telling,
        None if whole else where,
        direction(middle[4], middle[5]) if steady else None,
    )


def _telling(stored: StoredEvent) -> tuple[int, float, float, str]:
    event = stored.event
    rare = -1.0 if event.probability is None else -event.probability
    return SEVERITIES.index(event.severity), rare, event.peak_score, event.id
