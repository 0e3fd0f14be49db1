"""One index and one clock for a camera, over reconnects: frames are numbered, timestamps repaired, the lag is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from msflow_stream.types import Frame
from msflow_stream.video.cards import Decoder
from msflow_stream.video.live.connection import DecodedFrame
from msflow_stream.video.live.states import Counts
from msflow_stream.video.packets.packet_ring import PacketObserver
from msflow_stream.video.pixels import DecodedPixels
from msflow_stream.video.reading.colour import FrameConverter, displayed_size
from msflow_stream.video.reading.source_info import SourceInfo

TOLERANCE = 10.0  # seconds between the stream's clock and ours, beyond which the stream's must have jumped
SETBACK = 1.0  # seconds by which timestamps must fall back to have been set anew, not just disordered
TICK = 0.001  # seconds by which a frame follows the one before, where its timestamp says it does not
DRIFT = 1e-4  # by so much may a camera's clock be slow without seeming to fall behind


class Timeline:
    """Seconds from a camera's first frame, always increasing, over jumps of its clock and over reconnects.

    Attributes:
        lag: seconds by which the last frame came later than the promptest of its connection.
    """

    def __init__(self) -> None:
        self.lag = 0.0
        self._origin: float | None = None  # arrival of the first frame
        self._last = -TICK
        self._last_arrival = 0.0
        self._shift: float | None = None  # from the stream's clock to ours
        self._promptest = 0.0  # smallest delay, arrival minus stamp, so far

    def begin(self) -> None:
        """Begins a new connection: nothing is known of its clock."""
        self._shift = None

    def early(self, media: float | None, arrived: float) -> float:
        """Returns by how many seconds a frame comes before its time; 0 where the stream's clock tells nothing of it.

        Arguments as for `stamp`.
        """
        if media is None or self._origin is None or self._shift is None:
            return 0.0
        ahead = media + self._shift - (arrived - self._origin)
        return ahead if 0 < ahead <= TOLERANCE else 0.0

    def stamp(self, media: float | None, arrived: float) -> float:
        """Returns a frame's time.

        Args:
            media: its timestamp in seconds of the stream's clock, None where it has none.
            arrived: when it came, in seconds of a monotonic clock.
        """
        if self._origin is None:
            self._origin = self._last_arrival = arrived
        elapsed = arrived - self._origin
        time = elapsed if media is None else self._from_media(media, elapsed)
        time = max(time, self._last + TICK)
        delay = elapsed - time
        self._promptest = min(delay, self._promptest + DRIFT * (arrived - self._last_arrival))
        self.lag = delay - self._promptest
        self._last, self._last_arrival = time, arrived
        return time

    def _from_media(self, media: float, elapsed: float) -> float:
        fresh = self._shift is None
        time = media + (self._shift or 0.0)
        if fresh or time < self._last - SETBACK or abs(elapsed - time) > TOLERANCE:
            time = max(elapsed, self._last + TICK)
            self._shift = time - media
            if fresh:
                self._promptest = elapsed - time
        return time


class CameraConnection(Protocol):
    """The part of a `Connection` that a `CameraReader` needs."""

    info: SourceInfo
    decoder: Decoder

    @property
    def damaged(self) -> int:
        """Damaged packets and frames so far."""
        ...

    @property
    def received(self) -> int:
        """Frames that arrived so far, decoded or not."""
        ...

    @property
    def ahead(self) -> bool:
        """Whether frames can come faster than they happened."""
        ...

    def __iter__(self) -> Iterator[DecodedFrame]: ...

    def close(self) -> None:
        """Ends the connection; twice is fine."""
        ...


class FrameNumbering:
    """The indices and times of the frames of one connection after the other. Used by the reader thread alone."""

    def __init__(
        self,
        name: str,
        every: int,
        counts: Counts,
        packets: PacketObserver | None = None,
        converter: FrameConverter | None = None,
    ) -> None:
        self._name, self._every, self._counts, self._packets = name, every, counts, packets
        self._timeline, self._converter = Timeline(), converter or FrameConverter(threads=False)
        self._index_base = self._errors_base = 0

    def open(self, connection: CameraConnection) -> None:
        """Goes on with a new connection."""
        self._timeline.begin()
        counts = self._counts
        with counts.lock:
            self._index_base, self._errors_base = counts.read, counts.errors
            counts.segment = 0 if counts.segment is None else counts.segment + 1
            counts.info, counts.decoder = connection.info, connection.decoder

    def early(self, connection: CameraConnection, decoded: DecodedFrame, now: float) -> float:
        """Returns how many seconds a frame should wait, so that what comes all at once passes as it happened."""
        return self._timeline.early(_media(connection, decoded), now) if connection.ahead else 0.0

    def add(self, connection: CameraConnection, decoded: DecodedFrame, now: float, wall: datetime) -> Frame | None:
        """Counts a frame that arrived, and returns it with its index and time if it is one of those sampled."""
        index = self._index_base + decoded.number
        time = self._timeline.stamp(_media(connection, decoded), now)
        if self._packets is not None:
            self._packets.frame(decoded.frame, time)
        sampled = index % self._every == 0
        earlier = decoded.companion.earlier(self._converter) if sampled and decoded.companion else None
        self.count(connection)
        with self._counts.lock:
            self._counts.sampled += sampled
            self._counts.last_wall, self._counts.last_arrival, self._counts.lag = wall, now, self._timeline.lag
            if self._counts.info is not None:
                width, height = displayed_size(decoded.frame)
                if (width, height) != (self._counts.info.width, self._counts.info.height):
                    self._counts.info = replace(self._counts.info, width=width, height=height)
        if not sampled:
            return None
        pixels = DecodedPixels(decoded.frame, self._converter)
        return Frame(self._name, index, decoded.pts, time, wall, pixels, earlier)

    def count(self, connection: CameraConnection) -> None:
        """Notes what arrived so far; what is never decoded keeps its place in the count."""
        with self._counts.lock:
            self._counts.read = self._index_base + connection.received
            self._counts.errors = self._errors_base + connection.damaged


def _media(connection: CameraConnection, decoded: DecodedFrame) -> float | None:
    """Returns the frame's timestamp in seconds of the stream's clock."""
    return None if decoded.pts is None else float(decoded.pts * connection.info.time_base)
