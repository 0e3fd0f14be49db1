"""Parts of long video files: what packets alone tell of their frames, and where to begin to decode for one of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from av.packet import Packet
from av.video.stream import VideoStream

from msflow_stream.video.reading.companions import CompanionRule
from msflow_stream.video.reading.demuxer import Demuxer
from msflow_stream.video.reading.open_file import first_video_stream, open_file
from msflow_stream.video.reading.source_info import ReadLimits

MARGIN = 2  # key frames before a part at which decoding begins: that of an open group may be whole only after a while
BY_DTS = frozenset({"mpegts", "mpeg"})  # containers whose packets are looked for by their time of decoding
MOST_BACK = 6  # key frames at which a container that finds no other one may begin instead


class PartError(Exception):
    """An error: a part of the file cannot be read by itself, or not surely as it is within the whole."""


@dataclass(frozen=True, slots=True)
class Start:
    """A key frame to begin with.

    Attributes:
        seek: where to look for it, in ticks.
        pts: its own.
        index: of the first frame, in display order, that comes from here on.
    """

    seek: int
    pts: int
    index: int


@dataclass(frozen=True, slots=True)
class VideoPart:
    """Frames `first` to `last` (without it) of a file, by their indices.

    Attributes:
        starts: where decoding may begin, the best one last; none for the file's beginning.
        start_pts: pts of the file's first frame.
    """

    first: int
    last: int
    starts: tuple[Start, ...]
    start_pts: int


class VideoIndex:
    """The frames of a file in display order, and its key frames.

    Attributes:
        pts: of every frame, ascending.
        tick: seconds per tick.
    """

    def __init__(self, pts: list[int], starts: list[tuple[int, Start]], tick: Fraction) -> None:
        """Takes what was read; `starts` are (index of the key frame, start), in the file's order."""
        self.pts, self.tick, self._starts = pts, tick, starts

    @classmethod
    def of(cls, path: Path) -> VideoIndex | None:
        """Reads all packets of a file; None where they do not surely tell what frame each of them is."""
        with open_file(path) as container:
            stream = first_video_stream(container, path)
            demuxer = Demuxer(container, stream)
            packets = list(map(_facts, _packets(demuxer)))
            if demuxer.errors or demuxer.parts or not demuxer.timed:
                return None
            tick, by_dts = demuxer.time_base, container.format.name in BY_DTS
        shown = [pts for pts, _, _, is_shown in packets if is_shown and pts is not None]
        if len(shown) < sum(is_shown for *_, is_shown in packets) or len(set(shown)) < len(shown) or not shown:
            return None
        return cls(sorted(shown), list(_starts(packets, shown, by_dts)), tick)

    def frames(self, limits: ReadLimits) -> int:
        """Returns the number of frames before the limits."""
        if limits.duration is None:
            return min(len(self.pts), limits.max_frames or len(self.pts))
        first, reached = self.pts[0], range(len(self.pts))
        return bisect_left(reached, True, key=lambda i: limits.reached(i, float((self.pts[i] - first) * self.tick)))

    def part(self, first: int, last: int) -> VideoPart:
        """Returns a part of which the frames, and what is earlier than them, are as in the whole."""
        rule = CompanionRule(self.tick)
        needed = bisect_left(self.pts, self.pts[first] - rule.most)
        before = bisect_right(self._starts, needed, key=lambda one: one[0])
        best = before - MARGIN
        starts = [start for _, start in self._starts[max(0, best - MOST_BACK) : best + 1]] if best > 0 else []
        return VideoPart(first, last, tuple(starts), self.pts[0])


Facts = tuple[int | None, int | None, bool, bool]  # pts, dts, whether it is a key frame, whether it is shown


def _packets(demuxer: Demuxer) -> Iterator[Packet[VideoStream]]:
    while (packet := demuxer.read()) is not None:
        if packet.size:
            yield packet


def _facts(packet: Packet[VideoStream]) -> Facts:
    return packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard


def _starts(packets: list[Facts], shown: list[int], by_dts: bool) -> Iterator[tuple[int, Start]]:
    """The key frames from which on exactly the frames from an index on come, and the index of each key frame."""
    index = {pts: place for place, pts in enumerate(sorted(shown))}
    highest = [-1, *accumulate((index[pts] for pts in shown), max)]
    lowest = [*accumulate((index[pts] for pts in reversed(shown)), min)][::-1]
    place = 0
    for pts, dts, is_key, is_shown in packets:
        if not is_shown or pts is None:
            continue
        if is_key and highest[place] == lowest[place] - 1:
            yield index[pts], Start(dts if by_dts and dts is not None else pts, pts, lowest[place])
        place += 1
