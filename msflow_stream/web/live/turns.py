"""The pace of one browser: which tile is next, how many frames are under way to it, and how wide they may be."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msflow_stream.watch.live_frames import WIDTHS

FIRST, MOST = 3, 16  # frames under way at once
SLOW, QUICK = 1.0, 0.3  # seconds to the acknowledgement, above and below which fewer or more go under way
LATE, EARLY = 0.8, 0.25  # seconds a frame is late, above and below which frames become narrower or wider again
ENOUGH = 3  # acknowledgements that tell how a width does
TRIAL, LONGEST_TRIAL = 8.0, 120.0  # seconds until a wider one is tried


class Turns:
    """Turns to send: so many at once, and whose last frame is the oldest comes first."""

    def __init__(self) -> None:
        self.size = FIRST
        self._taken = 0
        self._order = itertools.count()
        self._queue: list[tuple[float, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, shown: float) -> AsyncIterator[None]:
        """Waits for a turn and holds it; `shown` is when the last frame was sent."""
        waiting = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (shown, next(self._order), waiting))
        self._next()
        try:
            await waiting
            yield
        finally:
            if waiting.done() and not waiting.cancelled():
                self._taken -= 1
            else:
                self._queue = [one for one in self._queue if one[2] is not waiting]
                heapq.heapify(self._queue)
            self._next()

    def note(self, took: float) -> None:
        """Takes how long a frame was under way until it was acknowledged."""
        if took > SLOW:
            self.size = max(1, self.size // 2)
        elif took < QUICK:
            self.size = min(MOST, self.size + 1)

    def _next(self) -> None:
        while self._queue and self._taken < self.size:
            _, _, waiting = heapq.heappop(self._queue)
            if not waiting.done():  # else its task is about to end
                waiting.set_result(None)
                self._taken += 1


class Fit:
    """How much narrower than asked the frames for a browser are, so that they come in time."""

    def __init__(self) -> None:
        self._steps = 0
        self._late: float | None = None
        self._noted = 0
        self._changed = time.monotonic()
        self._trial = TRIAL
        self._tried = False

    def width(self, asked: int) -> int:
        """Returns the width to send where so much was asked for."""
        return WIDTHS[max(0, WIDTHS.index(asked) - self._steps)]

    def note(self, late: float, asked: int) -> None:
        """Takes how late a frame was: from when it could have been sent until it was acknowledged."""
        self._late = late if self._late is None else 0.6 * self._late + 0.4 * late
        self._noted += 1
        if self._noted < ENOUGH:
            return
        if self._late > LATE and self._steps < WIDTHS.index(asked):
            if self._tried:
                self._trial = min(LONGEST_TRIAL, 2 * self._trial)
            self._step(+1)
        elif self._late < EARLY and self._steps and time.monotonic() - self._changed > self._trial:
            self._step(-1)

    def _step(self, by: int) -> None:
        self._steps += by
        self._tried = by < 0
        self._late, self._noted, self._changed = None, 0, time.monotonic()
