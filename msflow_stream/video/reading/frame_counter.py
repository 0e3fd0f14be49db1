"""Exact indices of decoded frames in their source, also where damage swallowed some or a decoder left some out."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

# More packets than any decoder holds back (16 to reorder, one per thread): beyond it, the oldest will never be shown.
MOST_WAITING = 512


@dataclass(frozen=True, slots=True)
class Absent:
    """A frame that did not come out of the decoder: lost if it was wanted, else skipped."""

    index: int
    pts: int
    lost: bool


class FrameCounter:
    """A count of frames in display order, by the timestamps of the packets that went into the decoder.

    A decoder drops a damaged frame without a word, so frames that come out cannot simply be counted. Each packet's
    pts waits in a heap instead; a frame with pts p proves that every packet before p has had its turn.

    Attributes:
        passed: source frames passed so far, the lost ones included.
        lost: those of them that were wanted and never came out of the decoder.
        start: pts of the source's first frame, None before it passed.
    """

    def __init__(self, passed: int = 0) -> None:
        self.passed = passed
        self.lost = 0
        self.start: int | None = None
        self._waiting: list[tuple[int, bool]] = []  # pts, and whether its frame is wanted
        self._absent: list[Absent] = []

    def packet(self, pts: int, wanted: bool = True) -> None:
        """Notes a packet that should become one frame; the frame of one that is not wanted may stay away."""
        heapq.heappush(self._waiting, (pts, wanted))
        if len(self._waiting) > MOST_WAITING:
            self._pass()

    def frame(self, pts: int | None) -> int | None:
        """Returns the index of a decoded frame, or None for one that no packet stands for (a repetition).

        A frame without pts is simply the next one.
        """
        if pts is None:
            self.passed += 1
            return self.passed - 1
        wanted: bool | None = None
        while self._waiting and self._waiting[0][0] < pts:
            wanted = self._pass()
        if self._waiting and self._waiting[0][0] == pts:
            wanted = self._pass()
        if wanted is None:
            return None
        self._absent.pop()  # the last one to pass is this frame
        self.lost -= wanted
        return self.passed - 1

    def finish(self) -> None:
        """Counts what is still waiting as lost or skipped: the decoder has given all it had."""
        while self._waiting:
            self._pass()

    def get_absent(self) -> list[Absent]:
        """Returns the frames that passed since the last call and did not come out, lost or skipped."""
        taken, self._absent = self._absent, []
        return taken

    def _pass(self) -> bool:
        """Passes the next frame as lost if it is wanted, else as skipped, and returns whether it is wanted."""
        pts, wanted = heapq.heappop(self._waiting)
        self.lost += wanted
        self._absent.append(Absent(self.passed, pts, wanted))
        self.passed += 1
        if self.start is None:
            self.start = pts
        return wanted
