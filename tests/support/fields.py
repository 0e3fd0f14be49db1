"""Interlaced H.264 whose fields are coded by themselves (PAFF), by a small encoder, as no other one at hand does it.

Every macroblock holds its pixels as they are (I_PCM) or repeats those of the field before (skipped).
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

REFERENCE, SPS, PPS, IDR, SLICE = 2, 7, 8, 5, 1


class Bits:
    """A bit stream as ITU-T H.264 writes it."""

    def __init__(self, *flags: int) -> None:
        self._bits = list(flags)

    def fixed(self, length: int, *values: int) -> Bits:
        """Adds numbers of so many bits each."""
        self._bits += [value >> place & 1 for value in values for place in range(length - 1, -1, -1)]
        return self

    def golomb(self, *values: int) -> Bits:
        """Adds numbers as Exp-Golomb codes."""
        for value in values:
            self.fixed(2 * (value + 1).bit_length() - 1, value + 1)
        return self

    def aligned(self) -> Bits:
        """Goes on at the next byte."""
        return self.fixed(-len(self._bits) % 8, 0)

    def unit(self, reference: int, kind: int) -> bytes:
        """Returns all of it as a NAL unit with its start code."""
        self.fixed(1, 1).aligned()
        unit, zeros = bytearray((0, 0, 0, 1, reference << 5 | kind)), 0
        for byte in np.packbits(self._bits).tolist():
            if zeros >= 2 and byte <= 3:
                unit.append(3)
                zeros = 0
            unit.append(byte)
            zeros = 0 if byte else zeros + 1
        return bytes(unit)


def parameter_sets() -> bytes:
    """Frames of 32 x 32 in two fields each, Main profile, one frame of reordering."""
    sps = Bits().fixed(8, 77, 0, 30).golomb(0, 0, 0, 4, 2).fixed(1, 0).golomb(1, 0).fixed(1, 0, 0, 1, 0, 1)
    sps.fixed(1, *[0] * 8, 1, 1).golomb(0, 0, 10, 10, 1, 2)  # of the VUI only how many frames are reordered
    pps = Bits().golomb(0, 0).fixed(1, 0, 0).golomb(0, 0, 0).fixed(1, 0, 0, 0).golomb(0, 0, 0).fixed(1, 1, 0, 0)
    return sps.unit(3, SPS) + pps.unit(3, PPS)


def field(number: int, frame_num: int, bottom: int, reference: int, rng: np.random.Generator) -> bytes:
    """Codes one field of a frame, `number` in display order: new pixels on the left, the last ones on the right."""
    idr, alone = number == 0 and not bottom, number == 0
    bits = Bits().golomb(0, 7 if alone else 5, 0).fixed(4, frame_num % 16).fixed(1, 1, bottom)
    if idr:
        bits.golomb(0)
    bits.fixed(8, (2 * number + bottom) % 256)
    if not alone:
        bits.fixed(1, 0, 0)
    if reference:
        bits.fixed(1, *[0] * (1 + idr))
    bits.golomb(0, 1)
    for _ in range(2 if alone else 1):
        bits.golomb(*([25] if alone else [0, 30])).aligned().fixed(8, *rng.integers(1, 255, 384).tolist())
    if not alone:
        bits.golomb(1)
    return bits.unit(reference, IDR if idr else SLICE)


def write_fields(path: Path, count: int, rate: int = 25) -> Path:
    """Writes an odd `count` of frames, every second one no reference, each field in a packet with its own time."""
    rng, frame_num = np.random.default_rng(0), 0
    coded: list[tuple[int, list[bytes]]] = []
    for number in [0, *(one for k in range(2, count, 2) for one in (k, k - 1))]:
        reference = 0 if number % 2 else REFERENCE
        coded.append((number, [field(number, frame_num, bottom, reference, rng) for bottom in (0, 1)]))
        frame_num += bool(reference)
    raw = path.with_suffix(".h264")
    raw.write_bytes(parameter_sets() + b"".join(unit for _, fields in coded[:4] for unit in fields))
    with av.open(str(raw)) as given, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(given.streams.video[0])
        for place, (number, fields) in enumerate(coded):
            for bottom, unit in enumerate(fields):
                packet = av.Packet(unit if place or bottom else parameter_sets() + unit)
                packet.stream, packet.time_base = stream, Fraction(1, 2 * rate)
                packet.pts, packet.dts, packet.duration = 2 * number + bottom, 2 * place - 2 + bottom, 1
                packet.is_keyframe = not place and not bottom
                written.mux(packet)
    return path
