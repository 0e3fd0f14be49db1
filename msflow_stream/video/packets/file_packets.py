"""The packets of a video file, read a second time beside its frames, as far as these have come."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from msflow_stream.types import UserError
from msflow_stream.video.packets.codec import CodecTemplate
from msflow_stream.video.packets.packet_ring import MAX_BYTES, PacketRing
from msflow_stream.video.reading.demuxer import Demuxer
from msflow_stream.video.reading.open_file import first_video_stream, open_file
from msflow_stream.video.reading.video_reader import VideoReader

AHEAD = 2.0  # seconds read beyond what is asked for, as packets come in another order than their frames


class FilePackets(PacketRing):
    """The packets of a file around a time that moves on; used by one thread. To be closed.

    Times are those of the frames that `VideoReader` gives.
    """

    def __init__(self, path: str | Path, seconds: float = 15.0, max_bytes: int = MAX_BYTES) -> None:
        """Opens the file.

        Raises:
            UserError: it cannot be read; see `VideoReader`.
        """
        path = Path(path)
        super().__init__(seconds, max_bytes, path.stem)
        with VideoReader(path, threads=False, motion_every=None) as reader:
            self._info = reader.info
        self._container = open_file(path)
        try:
            stream = first_video_stream(self._container, path)
            self._demuxer = Demuxer(self._container, stream)
            self._begin(CodecTemplate.of(stream, self._demuxer.time_base))
        except BaseException:
            self._container.close()
            raise
        self._ended = False

    @classmethod
    def of(cls, path: str | Path, seconds: float) -> Self | None:
        """Opens the file; returns None where it has no packets, as a folder of images, or cannot be read."""
        try:
            return cls(path, seconds)
        except UserError:
            return None

    def catch_up(self, time: float) -> None:
        """Reads up to `time`, in seconds from the file's start, and a little more."""
        while not self._ended and (self._newest is None or self._newest < time + AHEAD):
            self._safely(self._read)

    def close(self) -> None:
        """Forgets all packets and closes the file; twice is fine."""
        self._ended = True
        super().close()
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        packet = None if self._coding is None or self._coding.obstacle else self._demuxer.read()
        self._ended = packet is None or not packet.size
        if packet is None or self._ended:
            return
        one = self._append(bytes(packet), packet.pts, packet.is_keyframe)
        if one is None:
            return
        timed, info = self._demuxer.timed, self._info
        one.time = float((one.pts - info.start_pts) * info.time_base if timed else one.pts / info.rate)
        self._unknown.clear()
        self._newest = one.time if self._newest is None else max(self._newest, one.time)
        self._forget_before(self._newest - self._seconds)
