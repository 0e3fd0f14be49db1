"""What a player has to know of a clip: its codec, its size, and when each of its frames is shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av

from msflow_stream.types import UserError
from msflow_stream.video.reading.open_file import open_file

CLIPS_IN_MEMORY = 64
MOST_FRAMES = 20_000


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """The facts of a clip.

    Attributes:
        bytes: the size of the file, or what there was of it.
        codec: FFmpeg's name of it.
        width, height: in pixels.
        times: seconds from the clip's start at which its frames are shown, in their order.
    """

    bytes: int
    codec: str
    width: int
    height: int
    times: tuple[float, ...]


def clip_facts(path: Path) -> ClipFacts | None:
    """Returns the facts of a clip, which may still grow; None where it shows nothing (yet). Nothing is decoded."""
    try:
        state = path.stat()
        return _facts(path, state.st_mtime_ns, state.st_size)
    except OSError:
        return None


@lru_cache(CLIPS_IN_MEMORY)
def _facts(path: Path, changed: int, size: int) -> ClipFacts | None:
    try:
        with open_file(path) as container:
            stream = container.streams.video[0]
            base = stream.time_base
            if base is None:
                return None
            context = stream.codec_context
            facts = (size, context.name, context.width, context.height)
            ticks = [packet.pts for packet in container.demux(stream) if packet.size and packet.pts is not None]
    except (UserError, av.FFmpegError, IndexError):
        return None
    times = sorted({round(float(tick * base), 6) for tick in ticks if tick >= 0})
    return ClipFacts(*facts, tuple(times[:MOST_FRAMES])) if times else None
