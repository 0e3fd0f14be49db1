"""Clips of coded packets as they came: nothing is coded again."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from msflow_stream.types import UserError
from msflow_stream.video.packets.codec import CodecTemplate
from msflow_stream.video.packets.packet_ring import CodedPacket
from msflow_stream.video.reading.open_file import open_file
from msflow_stream.video.writing.disk_file import DiskFile
from msflow_stream.video.writing.video_writer import CONTAINER_OPTIONS

TICK = Fraction(1, 90_000)  # seconds; what cameras and MP4 count in
USUAL_DEPTH = 2  # frames, of encoders that reorder them
ASSUMED_STEP = 0.04  # seconds from frame to frame, where one alone tells nothing
FORMATS = {
    "mp4": ("mp4", CONTAINER_OPTIONS),
    "mkv": ("matroska", {"flush_packets": "1", "cluster_time_limit": "1000"}),
}


class CopyError(Exception):
    """An error: no file takes these packets as they are."""


class PacketCopy:
    """A video file that begins with a key frame; what was written plays after any end.

    Attributes:
        path: the file's; its suffix says whether it is MP4, or Matroska where MP4 does not take the codec.
        coding: its packets'.
        start, end: the times of its first and its latest frame.
    """

    def __init__(self, folder: Path, stem: str, packets: Sequence[CodedPacket]) -> None:
        """Begins a file.

        Args:
            stem: its name but for the suffix.
            packets: its beginning, the first one a key frame, and as many more as are known: they tell the
                order of its frames. None of them is written yet.

        Raises:
            CopyError: no file takes this coding.
            OSError: the file cannot be written.
        """
        first = packets[0]
        assert first.time is not None
        self.coding, self.start, self.end = first.coding, first.time, first.time
        self._step = max(1, round(_step(packets) / TICK))
        self._order, self._shown_until = DecodingOrder(_depth(packets), self._step), 0
        self._frames, self._broken, self._closed = 0, False, False
        self.path, self._file, self._output, self._stream = _open(folder, stem, first.coding)

    def write(self, packet: CodedPacket) -> None:
        """Adds a packet, in the order of decoding; a frame that is shown before the file's first is left out.

        Raises:
            OSError: it cannot be written.
            CopyError: the file does not take it.
        """
        if self._closed or packet.time is None or packet.time < self.start:
            return
        copy = Packet(packet.data)
        copy.stream, copy.time_base = self._stream, TICK
        ticks = round((packet.time - self.start) / TICK)
        copy.dts = self._order(ticks)
        copy.pts = max(ticks, copy.dts)
        # FFmpeg lets the file end with the frame that is decoded last, so it has to last until the one shown last.
        self._shown_until = max(self._shown_until, copy.pts + self._step)
        copy.duration = self._shown_until - copy.pts
        copy.is_keyframe = packet.key
        try:
            self._output.mux(copy)
        except (av.FFmpegError, ValueError) as error:
            self._broken = True
            raise _cause(error, self.coding) from error
        self.end = max(self.end, packet.time)
        self._frames += 1

    def close(self) -> None:
        """Finishes the file; twice is fine. One that shows nothing is removed.

        Raises:
            OSError: its end cannot be written; what is there plays.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._output.close()
        except (av.FFmpegError, ValueError) as error:
            self._broken = True
            raise _cause(error, self.coding) from error
        finally:
            self._file.close()
            if not self._frames or (self._broken and not plays(self.path)):
                self.path.unlink(missing_ok=True)


class DecodingOrder:
    """Decoding times, made from the times at which frames are shown: the same times, some frames earlier."""

    def __init__(self, depth: int, step: int) -> None:
        """Takes how many frames may be decoded before one that is shown before them, and the ticks of a frame."""
        self._waiting = [-step * number for number in range(depth, 0, -1)]
        self._last = -step * (depth + 1)

    def __call__(self, ticks: int) -> int:
        """Returns the decoding time of the next frame; it is not after `ticks`, unless the depth was too small."""
        self._last = max(heapq.heappushpop(self._waiting, ticks), self._last + 1)
        return self._last


def _open(folder: Path, stem: str, coding: CodecTemplate) -> tuple[Path, DiskFile, OutputContainer, VideoStream]:
    refused: Exception | None = None
    for suffix in FORMATS:
        path = folder / f"{stem}.{suffix}"
        file = DiskFile(path)
        try:
            return path, file, *_begin(file, suffix, coding)
        except BaseException as error:
            file.close()
            path.unlink(missing_ok=True)
            if not isinstance(error, av.FFmpegError | ValueError) or isinstance(error, OSError):
                raise
            refused = error
    raise CopyError(f"{coding.codec} cannot be copied") from refused


def _begin(file: DiskFile, suffix: str, coding: CodecTemplate) -> tuple[OutputContainer, VideoStream]:
    name, options = FORMATS[suffix]
    output = av.open(file, "w", format=name, container_options=options)
    if coding.template is None:
        raise ValueError(coding.obstacle)
    stream = output.add_stream_from_template(coding.template, opaque=True)
    stream.time_base = TICK
    if coding.size is not None:
        stream.codec_context.width, stream.codec_context.height = coding.size
    if coding.parameters is not None:
        stream.codec_context.extradata = coding.parameters
    output.start_encoding()
    return output, stream


def _cause(error: Exception, coding: CodecTemplate) -> Exception:
    """Returns the system's error as it is; any other says that FFmpeg does not take what it was given."""
    return error if isinstance(error, OSError) else CopyError(f"{coding.codec} cannot be copied ({error})")


def _depth(packets: Sequence[CodedPacket]) -> int:
    """Returns how many frames at most are decoded before one that is shown before them."""
    times = [packet.time for packet in packets[:500] if packet.time is not None]
    first = times[0]
    depth, later = 0, list[float]()  # times of those decoded so far, in order
    for time in times:
        if time < first:
            continue
        depth = max(depth, sum(1 for other in later[-16:] if other > time))
        later.append(time)
    return max(depth, USUAL_DEPTH if packets[0].coding.reorders else 0)


def _step(packets: Sequence[CodedPacket]) -> float:
    """Returns the seconds from frame to frame, on the average."""
    times = [packet.time for packet in packets if packet.time is not None]
    return (max(times) - min(times)) / (len(times) - 1) if len(times) > 1 else ASSUMED_STEP


def plays(path: Path) -> bool:
    """Returns whether a video file that may be cut off shows anything."""
    try:
        with open_file(path) as container:
            return any(packet.size and not packet.is_corrupt for packet in container.demux(video=0))
    except (UserError, av.FFmpegError, IndexError):  # not a video, or one without frames
        return False
