from __future__ import annotations

import re
from collections.abc import Iterator

START_CODE = re.compile(b"\x00\x00\x01")


# Where the first byte of a unit keeps its kind, and which kinds are parameter sets; pictures have lower numbers.
SHIFT = {"h264": 0, "hevc": 1}


MASK = {"h264": 31, "hevc": 63}


SETS = {"h264": frozenset({7, 8}), "hevc": frozenset({32, 33, 34})}


LAST_PICTURE = {"h264": 5, "hevc": 31}


def parameter_sets(packet: bytes, codec: str) -> bytes | None:
    """The parameter sets in front of a picture of H.264 or H.265 in Annex B, with start codes; None without any."""
    if codec not in SETS:
        return None
    found, begin = b"", 0
    for match in START_CODE.finditer(packet):
        if begin:
            found += _set(packet[begin : match.start()], codec)
        begin = match.end()
        if begin >= len(packet) or _kind(packet[begin], codec) <= LAST_PICTURE[codec]:
            break
    else:
        found += _set(packet[begin:], codec) if begin else b""
    return found or None


def _set(unit: bytes, codec: str) -> bytes:
    return b"\0\0\0\1" + unit.rstrip(b"\0") if unit and _kind(unit[0], codec) in SETS[codec] else b""


def _kind(first: int, codec: str) -> int:
    return first >> SHIFT[codec] & MASK[codec]


def units(packet: bytes, length: int | None) -> Iterator[memoryview]:
    """The units of an H.264 or H.265 packet; an empty one where it is damaged.

    Args:
        packet: its bytes.
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
