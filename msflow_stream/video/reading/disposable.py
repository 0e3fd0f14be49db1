"""Coded pictures that no other picture is made from, told apart by the packet's own bytes."""

from __future__ import annotations

from collections.abc import Callable

from av.video.codeccontext import VideoCodecContext

from msflow_stream.video.reading.nal_units import units

PROGRESSIVE = 1  # AV_FIELD_PROGRESSIVE: a packet of an interlaced stream may be half a picture


# H.264, ITU-T H.264 table 7-1: a slice, and what may come with it without being needed later.
SLICE, HARMLESS = 1, frozenset({6, 9, 12})  # SEI, delimiter, filler


SEI, PASSING_SEI = 6, frozenset({1, 4, 5})  # picture timing, user data: of this picture only


# H.265, ITU-T H.265 table 7-1: even types up to 14 are no reference within their sub-layer.
LAST_NON_REFERENCE, HEVC_SPS, HEVC_HARMLESS = 14, 33, frozenset({35, 38, 40})  # delimiter, filler, SEI behind


# JPEG, ITU-T T.81 table B.1
SOI, SOS, DQT, DHT = 0xD8, 0xDA, 0xDB, 0xC4


Disposable = Callable[[bytes], bool]  # whether a packet's picture, if nobody wants it, need not be decoded


def disposable_of(context: VideoCodecContext) -> Disposable | None:
    """What tells for a stream's packets; None where nothing can be said of its codec.

    VP9 is not in here, as what is learnt from any of its frames goes into the next; nor is AV1.
    """
    name, head = context.codec.canonical_name, context.extradata or b""
    if name == "h264" and context.field_order == PROGRESSIVE:
        return H264(head)
    if name == "hevc":
        return Hevc(head)
    return Jpeg() if name == "mjpeg" else None


class H264:
    """H.264: pictures whose nal_ref_idc is 0."""

    def __init__(self, head: bytes) -> None:
        """`head` is the stream's extradata."""
        self._length = (head[4] & 3) + 1 if head[:1] == b"\x01" and len(head) > 4 else None

    def __call__(self, packet: bytes) -> bool:
        slices = 0
        for unit in units(packet, self._length):
            kind = unit[0] & 31 if unit else -1
            if kind == SLICE and not unit[0] & 0x60:
                slices += 1
            elif kind not in HARMLESS or (kind == SEI and (len(unit) < 2 or unit[1] not in PASSING_SEI)):
                return False
        return slices > 0


class Hevc:
    """H.265: pictures that are no reference in their sub-layer, if there is none above it."""

    def __init__(self, head: bytes) -> None:
        """`head` is the stream's extradata."""
        self._length: int | None = None
        self._layers = 0  # of the stream; as long as that is not known, nothing is disposable
        if head[:1] == b"\x01" and len(head) > 21:
            self._length, self._layers = (head[21] & 3) + 1, head[21] >> 3 & 7
        elif head:
            self(head)

    def __call__(self, packet: bytes) -> bool:
        pictures, found = 0, True
        for unit in units(packet, self._length):
            kind = unit[0] >> 1 & 63 if len(unit) > 2 else -1
            if kind == HEVC_SPS:  # sps_max_sub_layers_minus1
                self._layers = max(self._layers, (unit[2] >> 1 & 7) + 1)
            if 0 <= kind <= LAST_NON_REFERENCE and kind % 2 == 0 and unit[1] & 7 == self._layers:
                pictures += 1
            elif kind not in HEVC_HARMLESS:
                found = False
                if 0 <= kind < 32:  # a picture that others need: what comes behind does not matter
                    return False
        return found and pictures > 0


class Jpeg:
    """Motion JPEG: every picture that brings all tables that the first one of its stream brought."""

    def __init__(self) -> None:
        self._first: frozenset[tuple[int, int]] | None = None

    def __call__(self, packet: bytes) -> bool:
        tables = jpeg_tables(packet)
        if self._first is None and tables is not None and any(kind == DQT for kind, _ in tables):
            self._first = tables
        return tables is not None and tables == self._first


def jpeg_tables(packet: bytes) -> frozenset[tuple[int, int]] | None:
    """The kinds of segments in front of a JPEG's pixels, with the numbers of its tables; None where it is not one."""
    found, place = set[tuple[int, int]](), 2
    if packet[:2] != bytes((0xFF, SOI)):
        return None
    while place + 4 <= len(packet) and packet[place] == 0xFF:
        kind, size = packet[place + 1], int.from_bytes(packet[place + 2 : place + 4], "big")
        body, place = packet[place + 4 : place + 2 + size], place + 2 + size
        if kind == SOS:  # a second picture behind it is the other field
            return None if packet.find(bytes((0xFF, SOI)), place) >= 0 else frozenset(found)
        numbers = table_numbers(kind, body)
        if numbers is None:
            return None
        found.update((kind, number) for number in numbers)
    return None


def table_numbers(kind: int, body: bytes) -> list[int] | None:
    """The numbers of the tables in a segment, one zero for other segments; None where it is damaged."""
    numbers, place = list[int](), 0
    if kind not in (DQT, DHT):
        return [0]
    while place < len(body):
        numbers.append(body[place])
        if kind == DQT:
            place += 1 + 64 * (1 + (body[place] >> 4))
        else:
            place += 17 + sum(body[place + 1 : place + 17])
    return numbers if place == len(body) else None
