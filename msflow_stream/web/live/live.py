"""What all browsers that look at live cameras share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from msflow_stream.events.store import EventStore
from msflow_stream.web.live.relay import Relay
from msflow_stream.web.live.status import Status, last_events
from msflow_stream.web.watch_client import WatchClient

MOST_VIEWERS = 100
MOST_OF_ONE = 30  # browsers and tabs of one person; the rest is for others


class Live:
    """The relay of frames, the status of cameras, and the number of browsers that are connected."""

    def __init__(self, watch: WatchClient, store: EventStore, names: Callable[[], Sequence[str]]) -> None:
        self.relay = Relay(watch)
        self.status = Status(watch, names, partial(last_events, store))
        self._viewers: Counter[str] = Counter()

    @contextmanager
    def viewer(self, name: str) -> Iterator[bool]:
        """Counts a person's browser while it is connected; yields whether there is room for it."""
        self._viewers[name] += 1
        try:
            yield self._viewers.total() <= MOST_VIEWERS and self._viewers[name] <= MOST_OF_ONE
        finally:
            self._viewers[name] -= 1
