"""Recorded footage: a folder of segments of a camera's own packets, and footage.json, which says what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

import av

from msflow_stream.files import VIDEO_SUFFIXES, write_json
from msflow_stream.types import Frame, UserError
from msflow_stream.video.coverage import Coverage
from msflow_stream.video.packets.codec import CodecTemplate
from msflow_stream.video.reading.open_file import first_video_stream, open_file

FILE = "footage.json"
STAMP = "%Y-%m-%dT%H%M%S.%f"
GAP = 5.0  # seconds between two frames that are a gap
Cause = Literal["camera", "black", "frozen", "disk", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A file of footage.

    Attributes:
        file: its name.
        start: when its first frame came, with a time zone.
        seconds: how long it is, without gaps.
        size: width and height of its frames.
    """

    file: str
    start: datetime
    seconds: float
    frames: int
    codec: str
    size: tuple[int, int]
    bytes: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nothing was recorded: the camera gave nothing, or nothing to be seen, or the disk was full."""

    start: datetime
    seconds: float
    cause: Cause


@dataclass(slots=True)
class Footage:
    """The footage in a folder.

    Attributes:
        name: the camera's.
        segments: the oldest first.
        gaps: between and in them.
        faults: seconds of each kind of trouble of the camera; see `video.live.faults.Fault`.
        coverage: what all of it covers.
    """

    name: str
    segments: list[Segment] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    faults: dict[str, float] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)

    @property
    def seconds(self) -> float:
        """The length of all segments, without gaps."""
        return sum(segment.seconds for segment in self.segments)

    @property
    def end(self) -> datetime | None:
        """When the last segment ends; None without any."""
        return max((one.start + timedelta(seconds=one.seconds) for one in self.segments), default=None)

    def write(self, folder: Path) -> None:
        """Writes footage.json.

        Raises:
            OSError: it cannot be written.
        """
        content = {
            "name": self.name,
            "seconds": round(self.seconds, 2),
            "segments": [{**asdict(one), "start": one.start.isoformat()} for one in self.segments],
            "gaps": [{**asdict(one), "start": one.start.isoformat()} for one in self.gaps],
            "faults": {fault: round(seconds, 1) for fault, seconds in self.faults.items()},
            "coverage": self.coverage.to_json(),
        }
        write_json(folder / FILE, content)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Returns what footage.json says; None where there is none that can be read."""
        try:
            content: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
            segments = [
                Segment(**{**one, "start": datetime.fromisoformat(one["start"]), "size": tuple(one["size"])})
                for one in content["segments"]
            ]
            gaps = [Gap(datetime.fromisoformat(one["start"]), one["seconds"], one["cause"]) for one in content["gaps"]]
            faults = {str(fault): float(seconds) for fault, seconds in content["faults"].items()}
            return cls(content["name"], segments, gaps, faults, Coverage.from_json(content["coverage"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    @classmethod
    def found(cls, folder: Path, name: str) -> Self:
        """Returns what is in a folder, whatever footage.json knows of it: files are looked at where it does not.

        Raises:
            OSError: the folder cannot be read.
        """
        found = cls.read(folder) or cls(name)
        known = {segment.file: segment for segment in found.segments}
        present = [path for path in folder.iterdir() if path.suffix in VIDEO_SUFFIXES and began(path) is not None]
        found.segments = []
        for path in sorted(present):
            segment = known.get(path.name)
            if segment is None or segment.bytes != path.stat().st_size:  # its end was never noted
                segment = look_at(path)
            if segment is not None:
                found.segments.append(segment)
        return found


def dated(frames: Iterable[Frame], start: datetime | None) -> Iterator[Frame]:
    """Yields the frames of a file that begins at a moment, each with when it came; as they are where it is None."""
    for frame in frames:
        yield frame if start is None else replace(frame, wall=start + timedelta(seconds=frame.time))


def stem_of(start: datetime) -> str:
    """Returns the name of a segment that begins at a moment; names sort by time."""
    return start.astimezone(UTC).strftime(STAMP)[:-3] + "Z"


def look_at(path: Path) -> Segment | None:
    """Returns what a segment holds that may be cut off; None, and removes it, where it shows nothing."""
    start, times = began(path), list[float]()
    codec, size = "", (0, 0)
    with suppress(UserError, av.FFmpegError, IndexError), open_file(path) as container:
        stream = first_video_stream(container, path)
        codec, size = stream.codec_context.codec.canonical_name, (stream.width, stream.height)
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None and packet.time_base and not packet.is_corrupt:
                times.append(float(packet.pts * packet.time_base))
    if not times or start is None:
        path.unlink(missing_ok=True)
        return None
    return Segment(
        file=path.name,
        start=start,
        seconds=round(covered(times), 3),
        frames=len(times),
        codec=codec,
        size=size,
        bytes=path.stat().st_size,
    )


def covered(times: Iterable[float]) -> float:
    """Returns the seconds from the first to the last of some frames' times, without gaps."""
    ordered = sorted(times)
    steps = [after - before for before, after in pairwise(ordered)]
    return sum(step for step in steps if step <= GAP)


def size_of(coding: CodecTemplate) -> tuple[int, int]:
    """Returns width and height of the frames that packets of a coding hold."""
    if coding.size is not None or coding.template is None:
        return coding.size or (0, 0)
    return coding.template.codec_context.width, coding.template.codec_context.height


def began(path: Path) -> datetime | None:
    """Returns when a segment begins, as its name says; None for other files."""
    try:
        return datetime.strptime(path.stem.removesuffix("Z"), STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
