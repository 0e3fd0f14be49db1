"""The evidence of one source's events, written from its scored frames and the messages about its events."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from msflow_stream.events.evidence.event_clips import EvidenceSettings
from msflow_stream.events.evidence.event_folder import (
    CLOSED,
    EventRecord,
    event_folders,
    read_event,
    remove_old_events,
    write_event,
)
from msflow_stream.events.evidence.evidence import Evidence
from msflow_stream.events.evidence.recent_frames import RecentFrames
from msflow_stream.files import Retention, make_folder
from msflow_stream.logs import redact
from msflow_stream.types import EventMessage, Frame, FrameScore, ScoreRow
from msflow_stream.video.drawing.overlay import OverlayStyle
from msflow_stream.video.packets.packet_ring import PacketRing

logger = logging.getLogger(__name__)

TIDY_SECONDS = 60.0  # between two looks at what is to be removed
MOST_POSTPONED = 32  # events that wait for room on the disk
CUT_OFF = "the program ended while this was recorded"


class EvidenceWriter:
    """Writes a folder per event below `folder`: event.json, clip.mp4, overlay.mp4, snapshot.jpg, snapshot_overlay.jpg.

    Its calls may wait for the disk; what the disk refuses is never raised. To be used by one thread at a time.

    Attributes:
        style: of overlays of events that begin from now on.
    """

    def __init__(
        self,
        folder: Path,
        style: OverlayStyle,
        *,
        packets: PacketRing | None = None,
        settings: EvidenceSettings | None = None,
        retention: Retention | None = None,
        is_kept: Callable[[str], bool] = lambda _: False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Looks for events that an earlier run left open.

        Args:
            folder: OUT/CAMERA/events.
            packets: of the source, from here on closed with the writer; None makes clips of scored frames.
            settings: how much is kept of an event.
            retention: what is removed when; None keeps all.
            is_kept: whether an event, by its id, is marked to be kept.
            clock: seconds, monotonic.

        Raises:
            UserError: the folder cannot be made.
        """
        make_folder(folder)
        self.style = style
        self._folder, self._packets, self._settings = folder, packets, settings or EvidenceSettings()
        self._retention, self._is_kept, self._clock = retention or Retention(), is_kept, clock
        self._recent = RecentFrames(self._settings.memory_seconds, self._settings.recent_bytes)
        self._open: dict[str, Evidence] = {}
        self._postponed: dict[str, EventMessage] = {}  # events that the disk has no room for yet
        self._failed = self._tidied = -math.inf
        self._untidy: str | None = None  # why old events cannot be removed
        self._losses = Counter({"disk": 0, "slow": 0})
        self._left = {path.name for path in event_folders(folder) if _is_open(path)}
        self._closed = False

    @property
    def losses(self) -> Mapping[str, int]:
        """Files of evidence that are missing or not whole because of the disk, and packets that came too fast."""
        return dict(self._losses)

    @property
    def unfinished(self) -> frozenset[str]:
        """Ids of events that an earlier run left open, and of which no close message has come yet."""
        return frozenset(self._left)

    def write(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        """Adds the next scored frame."""
        if self._closed:
            raise ValueError(f"the evidence writer in {self._folder} is closed")
        if self._packets is not None:
            self._packets.catch_up(frame.time)
        scored = self._recent.add(frame, score, row)
        for evidence in self._open.values():
            evidence.write(scored, frame.pixels)
        self._open = {id: evidence for id, evidence in self._open.items() if not evidence.done}
        if self._postponed and self._clock() - self._failed >= self._settings.retry_seconds:
            for message in list(self._postponed.values()):
                self._begin(message)
        if self._clock() - self._tidied >= TIDY_SECONDS:
            self._tidy()

    def event(self, message: EventMessage) -> None:
        """Adds a message about an event."""
        id = message.event.id
        if id in self._open:
            self._open[id].update(message)
        elif id in self._postponed:
            self._postponed[id] = message
        elif read_event(self._folder / id) is not None:
            self._finish_earlier(message)
        elif message.kind != CLOSED or self._recent.since(message.event.start):
            self._tidy()
            self._begin(message)

    def close(self) -> None:
        """Ends all clips as they are; events that are still open stay so in their event.json."""
        self._closed = True
        for message in list(self._postponed.values()):
            self._begin(message)
        for evidence in self._open.values():
            evidence.finish()
        self._losses["disk"] += len(self._postponed)
        self._open, self._postponed = {}, {}
        if self._packets is not None:
            self._packets.close()

    def _begin(self, message: EventMessage) -> None:
        id = message.event.id
        try:
            record = EventRecord(self._folder / id, message, self._losses, self._settings.retry_seconds, self._clock)
        except OSError as error:
            if id not in self._postponed:
                logger.warning("%s: no evidence of %s yet: %s", self._folder, id, error.strerror)
            self._postponed[id], self._failed = message, self._clock()
            if len(self._postponed) > MOST_POSTPONED:
                self._postponed.pop(next(iter(self._postponed)))
                self._losses["disk"] += 1
            return
        self._postponed.pop(id, None)
        self._open[id] = Evidence(record, self._recent, self._packets, self.style, self._settings)

    def _finish_earlier(self, message: EventMessage) -> None:
        """Notes how an event ended whose files are finished, or were cut off with an earlier run."""
        folder = self._folder / message.event.id
        found = read_event(folder)
        if found is None or message.event.version <= found[0].event.version:
            return
        evidence = found[1]
        if message.event.id in self._left:
            evidence["notes"] = [*evidence.get("notes", []), CUT_OFF]
        try:
            write_event(folder, message, evidence)
        except OSError as error:
            self._losses["disk"] += 1
            logger.warning("%s: event.json is not up to date: %s", folder, error.strerror)
            return
        if message.kind == CLOSED:
            self._left.discard(message.event.id)

    def _tidy(self) -> None:
        self._tidied, before = self._clock(), self._untidy
        try:
            open_ones = {*self._open, *self._left}
            remove_old_events(self._folder, self._retention, datetime.now(UTC), open_ones, self._is_kept)
            self._untidy = None
        except Exception as error:  # `is_kept` may fail too: nothing is removed then
            self._untidy = redact(str(error))
            if self._untidy != before:
                logger.warning("cannot remove old events in %s: %s", self._folder, self._untidy)


def _is_open(folder: Path) -> bool:
    found = read_event(folder)
    return found is not None and found[0].kind != CLOSED
