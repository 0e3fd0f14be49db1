"""The common part of all sources: a name, facts, limits, and that they are read once."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Self

from msflow_stream.logs import MASK, redact
from msflow_stream.names import portable_name
from msflow_stream.types import Frame

# Tells the cameras of one recorder apart where they share a path, and is harmless to show.
CHANNEL = re.compile(r"[?&](?:ch|channel|cam|camera|stream|subtype|id)=[A-Za-z0-9_.-]+", re.IGNORECASE)
DEFAULT_PORTS = {"rtsp": ":554", "rtsps": ":322", "http": ":80", "https": ":443", "rtmp": ":1935"}


def live_name(url_or_index: str) -> str:
    """Returns a name safe for a folder: host, port where it is not the usual one, path and channel; or webcam0.

    >>> live_name("rtsp://admin:secret@camera.example/stream1")
    'camera.example-stream1'
    """
    if url_or_index.isdecimal():
        return f"webcam{int(url_or_index)}"
    scheme, _, rest = redact(url_or_index).partition("://")
    place, _, query = rest.removeprefix(f"{MASK}@").partition("?")
    authority, slash, path = place.partition("/")
    place = authority.removesuffix(DEFAULT_PORTS.get(scheme.lower(), "/")) + slash + path
    channel = "-".join(match[1:] for match in CHANNEL.findall(f"?{query}"))
    return portable_name(re.sub(r"[^A-Za-z0-9._-]+", "-", f"{place}-{channel}").strip("-.") or "camera")


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """The facts of a source that are known before its frames are read.

    Attributes:
        name: the source's name, safe as a folder name.
        width, height: size of the frames as displayed, in pixels.
        rate: average frames per second.
        time_base: seconds per tick of pts.
        frames: exact number of frames, None where finding out would mean reading the file.
        duration: seconds, None where unknown.
        codec: the codec's name, as FFmpeg calls it.
        live: frames come as they happen.
        start_pts: pts of the first frame: a frame's time is (pts - start_pts) * time_base.
    """

    name: str
    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    frames: int | None
    duration: float | None
    codec: str
    has_audio: bool
    live: bool
    start_pts: int


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """The place to stop before the end: after so many source frames, or so many seconds of the source."""

    max_frames: int | None = None
    duration: float | None = None

    def reached(self, index: int, time: float) -> bool:
        """Returns whether the frame at this index and time (seconds) lies beyond."""
        too_many = self.max_frames is not None and index >= self.max_frames
        return too_many or (self.duration is not None and time >= self.duration)


class OneShot(ABC):
    """A source that is read once, and closed by a `with` block."""

    def __init__(self, name: str, once: str) -> None:
        """Prepares; `once` is said, after the source's name, to whoever reads it a second time."""
        self._once, self._begun = f"{name}: {once}", False

    def __iter__(self) -> Iterator[Frame]:
        if self._begun:
            raise RuntimeError(self._once)
        self._begun = True
        return self._frames()

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """Yields the frames."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the source; twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
