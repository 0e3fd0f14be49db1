"""Looks into clips: what they show when they are played, and the coded pictures in them."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av

from tests.support.videos import read_code

START_CODE = re.compile(b"\x00\x00\x00?\x01")


def shown(path: Path, *, cut_off: bool = False) -> list[tuple[float, int | None]]:
    """Plays a clip as a player does, from its first frame: the time and the number of every picture.

    Fails where the first picture is no key frame, time goes back, or anything cannot be decoded; of a clip that was
    `cut_off`, a last packet that is not whole does not count.
    """
    pictures: list[tuple[float, int | None]] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"err_detect": "explode"}
        base = stream.time_base
        assert base is not None
        packets = [packet for packet in container.demux(stream) if not (cut_off and packet.is_corrupt)]
        for frame in (frame for packet in packets for frame in packet.decode()):
            assert pictures or frame.key_frame, f"{path.name} begins with a picture that needs another one"
            assert not frame.is_corrupt
            assert frame.pts is not None
            pictures.append((float(frame.pts * base), read_code(frame.to_ndarray(format="rgb24"))))
    times = [time for time, _ in pictures]
    assert times == sorted(set(times))
    return pictures


def codes(path: Path) -> list[int | None]:
    """The number that each picture of a clip says, in the order in which they are shown."""
    return [code for _, code in shown(path)]


def units(path: Path) -> list[list[bytes]]:
    """The coded units (NAL units of H.264 or H.265, else whole packets) of each packet, whatever the container."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        extra = stream.codec_context.extradata or b""
        nal = stream.codec_context.name in ("h264", "hevc")
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
    if not nal:
        return [[packet] for packet in packets]
    return [_lengths(packet) if extra[:1] == b"\1" else _codes(packet) for packet in packets]


def duration(path: Path) -> Fraction:
    """Seconds, as the container says."""
    with av.open(str(path)) as container:
        assert container.duration is not None
        return Fraction(container.duration, 1_000_000)


def _lengths(packet: bytes) -> list[bytes]:
    found, place = [], 0
    while place < len(packet):
        size = int.from_bytes(packet[place : place + 4], "big")
        found.append(packet[place + 4 : place + 4 + size])
        place += 4 + size
    return found


def _codes(packet: bytes) -> list[bytes]:
    return [unit for unit in START_CODE.split(packet) if unit]
