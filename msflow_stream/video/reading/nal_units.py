"""The units of which H.264 and H.265 packets consist, told apart by their first bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator

START_CODE = re.compile(b"\x00\x00\x01")

# Where the first byte of a unit keeps its kind, and which kinds are parameter sets; coded frames have lower numbers.
SHIFT = {"h264": 0, "hevc": 1}
MASK = {"h264": 31, "hevc": 63}
SETS = {"h264": frozenset({7, 8}), "hevc": frozenset({32, 33, 34})}
LAST_FRAME = {"h264": 5, "hevc": 31}
HEVC_SPS = 33  # ITU-T H.265 table 7-1


def parameter_sets(packet: bytes, codec: str) -> bytes | None:
    """Returns the parameter sets in front of a coded frame in Annex B, each with a start code; None without any."""
    if codec not in SETS:
        return None
    found, begin = b"", 0
    for match in START_CODE.finditer(packet):
        if begin:
            found += _set(packet[begin : match.start()], codec)
        begin = match.end()
        if begin >= len(packet) or _kind(packet[begin], codec) <= LAST_FRAME[codec]:
            break
    else:
        found += _set(packet[begin:], codec) if begin else b""
    return found or None


def _set(unit: bytes, codec: str) -> bytes:
    return b"\0\0\0\1" + unit.rstrip(b"\0") if unit and _kind(unit[0], codec) in SETS[codec] else b""


def _kind(first: int, codec: str) -> int:
    return first >> SHIFT[codec] & MASK[codec]


def units(packet: bytes, length: int | None) -> Iterator[memoryview]:
    """Yields the units of a packet, and an empty one where it is damaged.

    Args:
        packet: the packet's bytes.
        length: bytes of the length in front of each unit; None where start codes stand between them.
    """
    view, place = memoryview(packet), 0
    if length is None:
        begins = [match.end() for match in START_CODE.finditer(packet)] or [len(packet)]
        for begin, end in zip(begins, [*(place - 3 for place in begins[1:]), len(packet)], strict=True):
            yield view[begin:end]
        return
    while place < len(packet):
        begin = place + length
        place = begin + int.from_bytes(view[place:begin], "big")
        if place > len(packet) or begin >= place:
            yield view[:0]
            return
        yield view[begin:place]


class TopLayer:
    """The frames of an H.265 stream's highest temporal sub-layer; a stream may have just one."""

    def __init__(self, extradata: bytes) -> None:
        """Reads the number of sub-layers from the stream's extradata; where it is not there, a packet will bring it."""
        self._length: int | None = None
        self._layers = 0  # as long as the number is not known, no frame is in the highest
        if extradata[:1] == b"\x01" and len(extradata) > 21:  # ISO/IEC 14496-15, HEVCDecoderConfigurationRecord
            self._length, self._layers = (extradata[21] & 3) + 1, extradata[21] >> 3 & 7
        elif extradata:
            self.holds(extradata)

    def holds(self, packet: bytes) -> bool:
        """Returns whether the packet's frame is in the highest sub-layer."""
        for unit in units(packet, self._length):
            kind = _kind(unit[0], "hevc") if len(unit) > 2 else -1
            if kind == HEVC_SPS:  # sps_max_sub_layers_minus1
                self._layers = max(self._layers, (unit[2] >> 1 & 7) + 1)
            if 0 <= kind <= LAST_FRAME["hevc"]:
                return unit[1] & 7 == self._layers  # nuh_temporal_id_plus1
        return False
