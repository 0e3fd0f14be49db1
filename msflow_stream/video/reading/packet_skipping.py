"""The packets of a file that need not be decoded when only every n-th frame is wanted."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from enum import StrEnum

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from msflow_stream.video.reading.nal_units import TopLayer

MOST_HELD = 32  # packets until it must be known which frame one of them is
PROGRESSIVE = 1  # AV_FIELD_PROGRESSIVE


class Skip(StrEnum):
    """The packets that a decoder is to leave out, as `CodecContext.skip_frame` names them."""

    NOTHING = "DEFAULT"
    NON_REFERENCE = "NONREF"  # frames that no other frame is made from
    ALL = "ALL"  # every frame; Motion JPEG's decoder still reads the tables that later frames may lack


# VP9 and AV1 are not in here: what is learnt from any of their frames goes into the next.
OF_CODEC = {"h264": Skip.NON_REFERENCE, "hevc": Skip.NON_REFERENCE, "mjpeg": Skip.ALL}


class PacketSkipper:
    """The choice, before each packet, of what the decoder may leave out, where nobody wants the packet's frame.

    A frame is known by its index in display order, so a packet is held until no later one can come before it: until
    the decoding timestamps have reached its own. Where timestamps do not keep their order, everything is decoded.
    """

    def __init__(self, every: int, skip: Skip, top_layer: TopLayer | None = None) -> None:
        """Prepares for a stream's first packet.

        Args:
            every: frames whose index is a multiple of this are wanted.
            skip: the part of the others that the decoder may leave out.
            top_layer: the only frames that it may leave out. FFmpeg goes by the kind of an H.265 frame, which says that
                no frame of its own temporal sub-layer is made from it; frames of higher ones may be.
        """
        self._every, self._skip, self._top_layer = every, skip, top_layer
        self._reorders = skip is not Skip.ALL
        self._held: deque[tuple[Packet[VideoStream], Skip]] = deque()
        self._pending: list[int] = []  # pts, ascending, of frames whose index is not known yet
        self._indices: dict[int | None, int | None] = {}  # pts -> index, None as long as it is not known, of those held
        self._count = 0
        self._horizon: int | None = None  # no later frame has a pts up to this
        self._stopped = False

    @classmethod
    def of(cls, context: VideoCodecContext, every: int) -> PacketSkipper | None:
        """Returns one for a stream, None where everything is to be decoded.

        A packet of interlaced H.264 may be half a frame, of which only the other half is a reference.
        """
        name = context.codec.canonical_name
        if every < 2 or name not in OF_CODEC or (name == "h264" and context.field_order != PROGRESSIVE):
            return None
        return cls(every, OF_CODEC[name], TopLayer(context.extradata or b"") if name == "hevc" else None)

    def add(self, packet: Packet[VideoStream]) -> Iterator[tuple[Packet[VideoStream], Skip]]:
        """Takes the next packet in decoding order, and yields those that are known now, with what may be left out."""
        skip = self._allowed(packet)
        self._held.append((packet, skip))
        if not self._stopped and not packet.is_discard:
            self._note(packet.pts, packet.dts, skip)
        return self._settled()

    def rest(self) -> Iterator[tuple[Packet[VideoStream], Skip]]:
        """Yields the packets that are still held, at the file's end."""
        self.stop()
        return self._settled()

    def stop(self) -> None:
        """Has everything decoded from now on."""
        self._stopped = True

    def _allowed(self, packet: Packet[VideoStream]) -> Skip:
        """Returns what may be left out if nobody wants the packet's frame."""
        top = self._top_layer is None or self._top_layer.holds(bytes(packet))
        return self._skip if top and not (packet.is_discard or packet.is_corrupt) else Skip.NOTHING

    def _note(self, pts: int | None, dts: int | None, skip: Skip) -> None:
        """Learns what a packet's timestamps say of the order."""
        horizon = dts if self._reorders else pts
        if pts is None or not self._is_later(pts, horizon):
            self.stop()
            return
        if skip is not Skip.NOTHING:
            self._indices[pts] = None
        insort(self._pending, pts)
        self._horizon = self._horizon if horizon is None else horizon
        known = 0 if self._horizon is None else bisect_left(self._pending, self._horizon + 1)
        for index, one in enumerate(self._pending[:known], self._count):
            if one in self._indices:
                self._indices[one] = index
        self._count += known
        del self._pending[:known]

    def _is_later(self, pts: int, horizon: int | None) -> bool:
        if horizon is not None and (pts < horizon or (self._horizon is not None and horizon <= self._horizon)):
            return False
        place = bisect_left(self._pending, pts)
        return (self._horizon is None or pts > self._horizon) and self._pending[place : place + 1] != [pts]

    def _settled(self) -> Iterator[tuple[Packet[VideoStream], Skip]]:
        if len(self._held) > MOST_HELD:
            self.stop()
        while self._held:
            packet, skip = self._held[0]
            index = self._indices.get(packet.pts)
            if index is None and skip is not Skip.NOTHING and not self._stopped:
                return
            self._held.popleft()
            self._indices.pop(packet.pts, None)
            unwanted = index is not None and index % self._every and not self._stopped
            yield packet, skip if unwanted else Skip.NOTHING
