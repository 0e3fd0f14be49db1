"""Which packets of a file need not be decoded when only every so-manieth frame is wanted."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from enum import Enum, auto

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from msflow_stream.video.reading.disposable import Disposable, Jpeg, disposable_of

MOST_HELD = 32  # packets until it must be known which frame one of them is


class Use(Enum):
    """What becomes of a packet."""

    DECODE = auto()
    SKIP = auto()
    REFRESH = auto()  # it was skipped, but what it holds is needed now


class PacketSkipper:
    """Tells packets that must be decoded from those whose frame nobody wants and no other frame is made from.

    A frame is known by its index in display order, so a packet is held until no later one can come before it: until
    the decoding timestamps have reached its own. Where timestamps do not keep their order, everything is decoded.
    """

    def __init__(self, every: int, disposable: Disposable) -> None:
        """`every`: frames whose index is a multiple of this are wanted."""
        self._every, self._disposable = every, disposable
        self._alone = isinstance(disposable, Jpeg)  # each picture stands for itself, and none is reordered
        self._held: deque[tuple[Packet[VideoStream], bool]] = deque()
        self._pending: list[int] = []  # pts, ascending, of frames whose index is not known yet
        self._asked: dict[int, int | None] = {}  # pts -> index of those held that may be skipped
        self._count = 0
        self._horizon: int | None = None  # no later frame has a pts up to this
        self._skipped: Packet[VideoStream] | None = None  # the last one, since one was decoded
        self._stopped = False

    @classmethod
    def of(cls, context: VideoCodecContext, every: int) -> PacketSkipper | None:
        """One for a stream, None where everything is to be decoded."""
        disposable = disposable_of(context) if every > 1 else None
        return None if disposable is None else cls(every, disposable)

    def take(self, packet: Packet[VideoStream]) -> Iterator[tuple[Packet[VideoStream], Use]]:
        """Takes the next packet in decoding order, and yields those of which it is known now what becomes of them."""
        shown_whole = not (packet.is_discard or packet.is_corrupt)
        may_go = not self._stopped and shown_whole and self._disposable(bytes(packet))
        self._held.append((packet, may_go))
        if not self._stopped and not packet.is_discard:
            self._note(packet.pts, packet.dts, may_go)
        return self._settled()

    def rest(self) -> Iterator[tuple[Packet[VideoStream], Use]]:
        """Those that are still held, at the file's end."""
        self.stop()
        return self._settled()

    def stop(self) -> None:
        """From now on, everything is decoded."""
        self._stopped = True

    def _note(self, pts: int | None, dts: int | None, may_go: bool) -> None:
        """Learns what a packet's timestamps say of the order."""
        horizon = pts if self._alone else dts
        if pts is None or not self._is_later(pts, horizon):
            self.stop()
            return
        if may_go:
            self._asked[pts] = None
        insort(self._pending, pts)
        self._horizon = self._horizon if horizon is None else horizon
        known = 0 if self._horizon is None else bisect_left(self._pending, self._horizon + 1)
        for number, one in enumerate(self._pending[:known], self._count):
            if one in self._asked:
                self._asked[one] = number
        self._count += known
        del self._pending[:known]

    def _is_later(self, pts: int, horizon: int | None) -> bool:
        if horizon is not None and (pts < horizon or (self._horizon is not None and horizon <= self._horizon)):
            return False
        place = bisect_left(self._pending, pts)
        return (self._horizon is None or pts > self._horizon) and self._pending[place : place + 1] != [pts]

    def _settled(self) -> Iterator[tuple[Packet[VideoStream], Use]]:
        if len(self._held) > MOST_HELD:
            self.stop()
        while self._held:
            packet, may_go = self._held[0]
            index = self._asked.get(packet.pts or 0) if may_go and not self._stopped else None
            if may_go and index is None and not self._stopped:
                return
            self._held.popleft()
            self._asked.pop(packet.pts or 0, None)
            if index is not None and index % self._every:
                self._skipped = packet
                yield packet, Use.SKIP
                continue
            if self._alone and not may_go and self._skipped is not None:  # it may lack what that one brought
                yield self._skipped, Use.REFRESH
            self._skipped = None
            yield packet, Use.DECODE
