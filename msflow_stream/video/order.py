"""Which frame of the source is this? Exact indices, also where damage swallowed frames."""

from __future__ import annotations

import heapq

# More packets than any decoder holds back (16 to reorder, one per thread): beyond it, the oldest will never be shown.
MOST_WAITING = 512


class FrameCounter:
    """Counts frames in display order, by the timestamps of the packets that went into the decoder.

    A decoder drops a damaged frame without a word, so frames that come out cannot simply be counted. Each packet's
    pts waits in a heap instead; a frame with pts p proves that every packet before p has had its turn.

    Attributes:
        passed: source frames passed so far, the lost ones included.
        lost: those of them that never came out of the decoder.
        start: pts of the source's first frame, None before it passed.
    """

    def __init__(self) -> None:
        self.passed = 0
        self.lost = 0
        self.start: int | None = None
        self._waiting: list[int] = []

    def packet(self, pts: int) -> None:
        """Notes a packet that should become one frame."""
        heapq.heappush(self._waiting, pts)
        if len(self._waiting) > MOST_WAITING:
            self._pass()
            self.lost += 1

    def frame(self, pts: int | None) -> int | None:
        """Returns the index of a decoded frame, or None for one that no packet stands for (a repetition).

        A frame without pts is simply the next one.
        """
        if pts is None:
            self.passed += 1
            return self.passed - 1
        before = self.passed
        while self._waiting and self._waiting[0] < pts:
            self._pass()
        if self._waiting and self._waiting[0] == pts:
            self._pass()
        if self.passed == before:
            return None
        self.lost += self.passed - before - 1
        return self.passed - 1

    def finish(self) -> None:
        """Counts what is still waiting as lost: the decoder has given all it had."""
        self.lost += len(self._waiting)
        self.passed += len(self._waiting)
        self._waiting.clear()

    def _pass(self) -> None:
        pts = heapq.heappop(self._waiting)
        self.passed += 1
        if self.start is None:
            self.start = pts
