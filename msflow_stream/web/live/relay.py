"""The newest frames of cameras for any number of browsers: one request to the watch for each camera and width."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import NamedTuple

from msflow_stream.types import UserError
from msflow_stream.watch.live_frames import WIDTHS
from msflow_stream.web.watch_client import LiveFrame, WatchAway, WatchClient

TILE_PACE = 0.85  # seconds from one frame to the next on the wall: of a camera with one frame a second none is missed
LARGE_PACE = 0.25  # of a camera alone
PATIENCE = 8.0  # seconds that the watch may wait for a newer frame before it says that there is none
KEPT = 10.0  # seconds after which a frame that nobody asks for is forgotten
MOST_REQUESTS = 80  # at once; cameras without new frames hold theirs for as long as PATIENCE


class View(NamedTuple):
    """A camera's image as somebody looks at it; `plain` is without the overlay."""

    camera: str
    width: int
    plain: bool = False


@dataclass(slots=True)
class Feed:
    """The newest frame of a view.

    Attributes:
        asked, came: when it was last asked for, and when it came, on the clock of time.monotonic.
        waiting: number of those who wait for a newer one.
        request: the request that is on its way for all of them.
    """

    newest: LiveFrame | None = None
    asked: float = -math.inf
    came: float = -math.inf
    waiting: int = 0
    request: asyncio.Task[None] | None = None

    def newer(self, after: int) -> LiveFrame | None:
        """Returns the newest frame if it comes after another one."""
        return self.newest if self.newest is not None and sequence(self.newest) > after else None


class Relay:
    """Asks the watch for frames, only while somebody waits for one. For one event loop."""

    def __init__(self, watch: WatchClient) -> None:
        self._watch = watch
        self._feeds: dict[View, Feed] = {}
        self._highest = -1  # sequence so far: who says to know a later one has nobody else wait for that
        self._requests = asyncio.Semaphore(MOST_REQUESTS)

    async def frame(
        self, view: View, after: int = -1, pace: float = TILE_PACE, patience: float = PATIENCE
    ) -> LiveFrame | None:
        """Returns the newest frame of a view that comes after another one, None where there is none for a while.

        Args:
            view: what is looked at.
            after: sequence of the frame that is known already.
            pace: seconds within which nothing is asked twice: a frame may be so old.
            patience: seconds to wait.

        Raises:
            WatchAway: the watch does not run.
        """
        feed = self._feed(view)
        known = feed.newer(after)
        if known is not None and (feed.request is not None or time.monotonic() - feed.came < pace):
            return known
        if feed.request is None:
            feed.request = asyncio.create_task(self._fetch(view, feed, after, pace, patience))
            feed.request.add_done_callback(lambda one: one.cancelled() or one.exception())
        request = feed.request
        feed.waiting += 1
        try:
            await asyncio.shield(request)
        finally:
            feed.waiting -= 1
            if not feed.waiting and not request.done():
                feed.request = None
                request.cancel()  # nobody looks any more
        return feed.newer(after)

    async def _fetch(self, view: View, feed: Feed, after: int, pace: float, patience: float) -> None:
        request = asyncio.current_task()
        try:
            await asyncio.sleep(feed.asked + pace - time.monotonic())
            async with self._requests:
                feed.asked = time.monotonic()
                frame = await self._ask(view, min(after, self._highest), patience)
            if frame is not None:
                feed.newest, feed.came = frame, time.monotonic()
                self._highest = max(self._highest, sequence(frame))
        finally:
            if feed.request is request:
                feed.request = None

    async def _ask(self, view: View, after: int, patience: float) -> LiveFrame | None:
        try:
            return await self._watch.frame(view.camera, view.width, after, patience, plain=view.plain)
        except KeyError:
            return None  # a camera of the cameras file that the watch has not read yet
        except UserError as error:
            raise WatchAway(str(error)) from None

    def _feed(self, view: View) -> Feed:
        """Returns the feed of a view; those that nobody asked for lately are forgotten."""
        oldest = time.monotonic() - KEPT
        for other in [one for one, feed in self._feeds.items() if feed.request is None and feed.asked < oldest]:
            del self._feeds[other]
        return self._feeds.setdefault(view, Feed())


def sequence(frame: LiveFrame) -> int:
    """Returns the number of a frame in the order of its camera's."""
    return int(frame.facts["sequence"])


def fitting(width: float, most: int = WIDTHS[-1]) -> int:
    """Returns the smallest width that the watch draws and that is at least as large as asked, up to `most`."""
    return next((one for one in WIDTHS if one >= min(width, most)), WIDTHS[-1])
