"""The last seconds of a source as they came: coded packets, to be copied into a clip without coding them again."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile
from threading import Lock
from typing import Protocol

from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from msflow_stream.video.packets.codec import CodecTemplate

logger = logging.getLogger(__name__)

MAX_BYTES = 32 * 2**20
OVERHEAD = 300  # bytes that a packet costs beside its data
MOST_HELD = 64  # packets that a decoder may hold before it shows the first of them


class PacketObserver(Protocol):
    """An observer of what a camera sends, called in the reader's thread; it is quick, and raises nothing."""

    def begin(self, stream: VideoStream, time_base: Fraction) -> None:
        """Notes that a connection begins; its timestamps are in `time_base`."""

    def packet(self, packet: Packet[Stream]) -> None:
        """Notes a packet that goes to the decoder."""

    def frame(self, frame: VideoFrame, time: float) -> None:
        """Notes a frame that came out of the decoder; `time` is its Frame.time."""


@dataclass(slots=True)
class CodedPacket:
    """A packet of one coded frame.

    Attributes:
        number: counts all packets of the source, over reconnects.
        pts: its timestamp in ticks of the coding's time base.
        key: a frame that needs no other one.
        time: Frame.time of its frame; None as long as that is not known.
    """

    number: int
    data: bytes
    pts: int
    key: bool
    coding: CodecTemplate
    time: float | None = None


class PacketRing:
    """An observer that keeps the packets of the last seconds, back to the key frame before, within a bound of memory.

    It is filled by one thread and read by another. What fails in here is said once, and then there are no packets until
    the next connection. Packets of a connection that has ended stay until they are too old.
    """

    def __init__(self, seconds: float = 15.0, max_bytes: int = MAX_BYTES, name: str = "packets") -> None:
        """Prepares; `name` is for messages."""
        self._seconds, self._max_bytes, self._name = seconds, max_bytes, name
        self._lock = Lock()
        self._packets: deque[CodedPacket] = deque()
        self._keys: deque[CodedPacket] = deque()  # those of them that are key frames
        self._bytes = self._count = 0
        self._unknown: deque[CodedPacket] = deque()  # those whose time is not known yet
        self._coding: CodecTemplate | None = None
        self._size: tuple[int, int] | None = None  # of the newest frame
        self._newest: float | None = None
        self._failed = False

    @property
    def obstacle(self) -> str | None:
        """The reason why packets cannot be copied now; None if they can."""
        with self._lock:
            return "no packets come" if self._coding is None else self._coding.obstacle

    @property
    def newest(self) -> float | None:
        """The time of the newest frame that was seen decoded."""
        with self._lock:
            return self._newest

    @property
    def memory(self) -> int:
        """The bytes that it takes."""
        with self._lock:
            return self._bytes

    def start(self, time: float) -> int | None:
        """Returns the number of the last key frame at or before `time`, else of the first; None without any."""
        with self._lock:
            best = None
            for key in self._keys:
                if key.time is not None and (best is None or key.time <= time):
                    best = key
            return None if best is None else best.number

    def after(self, number: int) -> list[CodedPacket]:
        """Returns the packets from this number on whose times are known; some of the first may be gone."""
        with self._lock:
            known = takewhile(lambda packet: packet.time is not None, self._from(number))
            return list(known)

    def catch_up(self, time: float) -> None:
        """Reads up to `time`, where packets do not come by themselves: see `FilePackets`."""

    def close(self) -> None:
        """Forgets all packets."""
        with self._lock:
            self._clear()

    def begin(self, stream: VideoStream, time_base: Fraction) -> None:
        """Begins with the packets of a connection; what the last one's decoder never gave is gone."""
        self._safely(lambda: self._begin(CodecTemplate.of(stream, time_base)))

    def packet(self, packet: Packet[Stream]) -> None:
        """Keeps a packet; its time is known once its frame was decoded."""
        if self._coding is not None:
            self._safely(lambda: self._append(bytes(packet), packet.pts, packet.is_keyframe))

    def frame(self, frame: VideoFrame, time: float) -> None:
        """Learns from a decoded frame what the times of packets are, and forgets those that are too old."""
        if self._coding is not None:
            self._safely(lambda: self._show(frame.pts, (frame.width, frame.height), time))

    def _safely(self, work: Callable[[], object]) -> None:
        """Does the work under the lock; a camera's reader does not suffer from what fails here."""
        try:
            with self._lock:
                work()
        except Exception:
            if not self._failed:
                logger.exception("%s: clips cannot be copied until the camera connects again", self._name)
            with self._lock:
                self._failed = True
                self._clear()

    def _begin(self, coding: CodecTemplate) -> None:
        while self._unknown:  # what was in the decoder when the last connection ended was never seen
            lost = self._packets.pop()
            self._bytes -= _cost(lost)
            if self._keys and self._keys[-1] is lost:
                self._keys.pop()
            if self._unknown[0] is lost:
                self._unknown.clear()
                self._count = lost.number
        self._coding, self._size = coding, None

    def _append(self, data: bytes, pts: int | None, key: bool) -> CodedPacket | None:
        coding = self._coding
        if coding is None or coding.obstacle is not None:
            return None
        if pts is None:
            self._clear()
            self._coding = CodecTemplate(
                None, coding.codec, coding.time_base, coding.reorders, obstacle="it has no timestamps"
            )
            return None
        packet = CodedPacket(self._count, data, pts, key, coding)
        self._count += 1
        self._bytes += _cost(packet)
        self._packets.append(packet)
        self._unknown.append(packet)
        if key:
            self._keys.append(packet)
        while self._bytes > self._max_bytes:
            self._drop()
        return packet

    def _show(self, pts: int | None, size: tuple[int, int], time: float) -> None:
        """Notes when a frame was shown, and with it those that should have been shown before it."""
        if self._coding is None or pts is None:
            return
        self._failed = False
        if size != (self._size or size):
            self._resize(pts, size)
        self._size = size
        waiting = deque[CodedPacket]()
        for packet in self._unknown:
            if packet.pts <= pts:
                packet.time = time + float((packet.pts - pts) * packet.coding.time_base)
            elif packet.number < self._count - MOST_HELD:  # it will never be shown
                packet.time = time
            else:
                waiting.append(packet)
        self._unknown, self._newest = waiting, time
        self._forget_before(time - self._seconds)

    def _resize(self, pts: int, size: tuple[int, int]) -> None:
        """Has the packets from this frame on coded otherwise."""
        assert self._coding is not None
        shown = next((packet for packet in self._unknown if packet.pts == pts), None)
        if shown is None or not shown.key:
            return
        self._coding = self._coding.of_size(size, shown.data)
        for packet in self._unknown:
            if packet.number >= shown.number:
                packet.coding = self._coding

    def _forget_before(self, time: float) -> None:
        """Drops what is not needed to play from `time` on."""
        while (later := next((key for key in self._keys if key is not self._packets[0]), None)) is not None:
            if later.time is None or later.time > time:
                return
            while self._packets[0] is not later:
                self._drop()

    def _drop(self) -> None:
        packet = self._packets.popleft()
        self._bytes -= _cost(packet)
        if self._keys and self._keys[0] is packet:
            self._keys.popleft()
        if self._unknown and self._unknown[0] is packet:
            self._unknown.popleft()

    def _clear(self) -> None:
        for packets in (self._packets, self._keys, self._unknown):
            packets.clear()
        self._bytes, self._coding = 0, None

    def _from(self, number: int) -> Iterator[CodedPacket]:
        return (packet for packet in self._packets if packet.number >= number)


def _cost(packet: CodedPacket) -> int:
    return len(packet.data) + OVERHEAD
