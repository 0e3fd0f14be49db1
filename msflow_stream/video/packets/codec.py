"""The coding of a stream's frames: the facts that a file needs so that their packets can be copied into it."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

import av
from av.video.stream import VideoStream

from msflow_stream.video.reading.nal_units import parameter_sets

UNCODED = frozenset({"rawvideo", "wrapped_avframe", "v210", "bitpacked"})  # a second of them fills any memory


@dataclass(frozen=True, slots=True, eq=False)
class CodecTemplate:
    """The coding of some packets of one stream; those of another one belong into another file.

    Attributes:
        template: an empty stream, for `add_stream_from_template`; it outlives the source, and any thread may use it.
        codec: the codec's name, as FFmpeg calls it.
        time_base: seconds per tick of the packets' timestamps.
        reorders: frames may be decoded in another order than they are shown in.
        size: width and height of the frames in the place of the template's, where those have changed in mid-stream.
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
        """Returns the coding of an open stream, which may be closed afterwards."""
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

    def of_size(self, size: tuple[int, int], key: bytes) -> CodecTemplate:
        """Returns the coding from a key frame on, with frames of another size; `key` is its packet."""
        own = self.template is not None and (self.template.codec_context.extradata or b"")[:1] != b"\x01"
        found = parameter_sets(key, self.codec) if own else None
        return replace(self, size=size, parameters=found or self.parameters)
