"""The packets of a file that need not be decoded when only every n-th frame and its companion are wanted."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from math import lcm

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from msflow_stream.video.reading.companions import CompanionRule
from msflow_stream.video.reading.nal_units import TopLayer

MOST_HELD = 64  # packets until it must be known which frame one of them is, and what it is the companion of
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
    the decoding timestamps have reached its own. A companion is known by the times of the frames behind it, so one that
    may be one is held until these are known. Where timestamps do not keep their order, everything is decoded.
    """

    def __init__(
        self,
        every: int,
        skip: Skip,
        top_layer: TopLayer | None = None,
        rule: CompanionRule | None = None,
        motion_every: int = 1,
        first: int = 0,
    ) -> None:
        """Prepares for a stream's first packet.

        Args:
            every: frames whose index is a multiple of this are wanted.
            skip: the part of the others that the decoder may leave out.
            top_layer: the only frames that it may leave out. FFmpeg goes by the kind of an H.265 frame, which says that
                no frame of its own temporal sub-layer is made from it; frames of higher ones may be.
            rule: the choice of companions, None where none are wanted.
            motion_every: of the wanted frames, those whose index is a multiple of this have one.
            first: index of the first frame that comes.
        """
        self._every, self._skip, self._top_layer = every, skip, top_layer
        self._rule, self._with_companion = rule, lcm(every, motion_every)
        self._reorders = skip is not Skip.ALL
        self._held: deque[tuple[Packet[VideoStream], Skip]] = deque()
        self._pending: list[int] = []  # pts, ascending, of frames whose index is not known yet
        self._known: list[int] = []  # pts, ascending, of frames whose index is known, as far back as is needed
        self._first = first  # index of the first of these
        self._horizon: int | None = None  # no later frame has a pts up to this
        self._stopped = False

    @classmethod
    def of(
        cls,
        context: VideoCodecContext,
        every: int,
        rule: CompanionRule | None = None,
        motion_every: int = 1,
        first: int = 0,
    ) -> PacketSkipper | None:
        """Returns one for a stream, None where everything is to be decoded.

        A packet of interlaced H.264 may be half a frame, of which only the other half is a reference.
        """
        name = context.codec.canonical_name
        if every < 2 or name not in OF_CODEC or (name == "h264" and context.field_order != PROGRESSIVE):
            return None
        top_layer = TopLayer(context.extradata or b"") if name == "hevc" else None
        return cls(every, OF_CODEC[name], top_layer, rule, motion_every, first)

    def add(self, packet: Packet[VideoStream]) -> Iterator[tuple[Packet[VideoStream], Skip]]:
        """Takes the next packet in decoding order, and yields those that are known now, with what may be left out."""
        skip = self._allowed(packet)
        self._held.append((packet, skip))
        if not self._stopped and not packet.is_discard:
            self._note(packet.pts, packet.dts)
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

    def _note(self, pts: int | None, dts: int | None) -> None:
        """Learns what a packet's timestamps say of the order."""
        horizon = dts if self._reorders else pts
        if pts is None or not self._is_later(pts, horizon):
            self.stop()
            return
        insort(self._pending, pts)
        self._horizon = self._horizon if horizon is None else horizon
        known = 0 if self._horizon is None else bisect_left(self._pending, self._horizon + 1)
        self._known += self._pending[:known]
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
            wanted = True if skip is Skip.NOTHING or self._stopped else self._is_wanted(packet.pts)
            if wanted is None:
                return
            self._held.popleft()
            yield packet, Skip.NOTHING if wanted else skip
        if len(self._known) > MOST_HELD:
            self._forget()

    def _is_wanted(self, pts: int | None) -> bool | None:
        """Returns whether a frame is wanted for itself or as a companion, None while that is not known."""
        place = -1 if pts is None else bisect_left(self._known, pts)
        if self._known[place : place + 1] != [pts]:
            return None
        if (self._first + place) % self._every == 0:
            return True
        return False if self._rule is None else self._is_companion(self._rule, place)

    def _is_companion(self, rule: CompanionRule, place: int) -> bool | None:
        after = enumerate(self._known[place + 1 :], place + 1)
        wanted = (time for later, time in after if (self._first + later) % self._with_companion == 0)
        if any(rule.find(self._known, time) == place for time in wanted):
            return True
        assert self._horizon is not None  # or no frame would be known
        time, coming = self._known[place], self._horizon + 1  # no earlier than this are the frames that are not known
        is_old = coming - time > rule.most
        newer = self._known[place + 1 : place + 2]
        return False if is_old or (newer and coming - newer[0] >= rule.least) else None

    def _forget(self) -> None:
        """Forgets the frames before all that are held."""
        held = [packet.pts for packet, _ in self._held if packet.pts is not None]
        needless = bisect_left(self._known, min(held)) if held else len(self._known)
        self._first += needless
        del self._known[:needless]
