"""How a stream's pictures are coded: what a file needs to know so that their packets can be copied into it."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

import av
from av.video.stream import VideoStream

START_CODE = re.compile(b"\x00\x00\x01")
# Where the first byte of a unit keeps its kind, and which kinds are parameter sets; pictures have lower numbers.
SHIFT = {"h264": 0, "hevc": 1}
MASK = {"h264": 31, "hevc": 63}
SETS = {"h264": frozenset({7, 8}), "hevc": frozenset({32, 33, 34})}
LAST_PICTURE = {"h264": 5, "hevc": 31}
UNCODED = frozenset({"rawvideo", "wrapped_avframe", "v210", "bitpacked"})  # a second of them fills any memory


@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """The coding of some packets of one stream; those of another one belong into another file.

    Attributes:
        template: an empty stream, for `add_stream_from_template`; it outlives the source, and any thread may use it.
        codec: the codec's name, as FFmpeg calls it.
        time_base: seconds per tick of the packets' timestamps.
        reorders: pictures may be decoded in another order than they are shown in.
        size: width and height of the pictures in the place of the template's, where those have changed in mid-stream.
        parameters: parameter sets in the place of the template's, where they came with the new size.
        obstacle: why the packets cannot be copied; None if they can.
    """

    template: VideoStream | None
    codec: str
    time_base: Fraction
    reorders: bool
    size: tuple[int, int] | None = None
    parameters: bytes | None = None
    obstacle: str | None = None

    @classmethod
    def of(cls, stream: VideoStream, time_base: Fraction) -> Self:
        """What is known of an open stream; it may be closed afterwards."""
        context = stream.codec_context
        codec, reorders = context.codec.canonical_name, bool(context.has_b_frames)
        if codec in UNCODED:
            return cls(None, codec, time_base, reorders, obstacle="its pictures come without coding")
        try:
            # NUT takes nearly everything, and as it is; nothing is ever written.
            nothing = av.open(io.BytesIO(), "w", format="nut")
            template = nothing.add_stream_from_template(stream, opaque=True)
        except (av.FFmpegError, ValueError):
            return cls(None, codec, time_base, reorders, obstacle=f"{codec} cannot be copied")
        return cls(template, codec, time_base, reorders)

    def of_size(self, size: tuple[int, int], key: bytes) -> Coding:
        """The coding from a key frame on whose pictures have another size; `key` is its packet."""
        own = self.template is not None and (self.template.codec_context.extradata or b"")[:1] != b"\x01"
        found = parameter_sets(key, self.codec) if own else None
        return replace(self, size=size, parameters=found or self.parameters)


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
