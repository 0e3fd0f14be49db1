"""Video files as frames with exact indices and timestamps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
from av.video.frame import VideoFrame

from msflow_stream.config.cameras import Decode
from msflow_stream.names import portable_name
from msflow_stream.types import Frame, UserError
from msflow_stream.video.cards import Card, CardError, DecoderChoice
from msflow_stream.video.cards import Decoder as DecoderName
from msflow_stream.video.pixels import DecodedPixels
from msflow_stream.video.reading.colour import FrameConverter, displayed_size
from msflow_stream.video.reading.companions import CompanionFinder
from msflow_stream.video.reading.decoder import Decoder
from msflow_stream.video.reading.open_file import exact_frames, first_video_stream, open_file
from msflow_stream.video.reading.source_info import OneShot, ReadLimits, SourceInfo
from msflow_stream.video.reading.video_parts import VideoPart


class VideoReader(OneShot):
    """A video file, read in display order. It is opened at once; a context manager; to be iterated once.

    >>> with VideoReader("gate.mp4", every=5) as reader:  # doctest: +SKIP
    ...     for frame in reader:
    ...         print(frame.index, frame.time, frame.image.shape)

    Attributes:
        info: the facts of the file.
        damaged: packets so far that could not be decoded, or whose frame is known to be damaged. What is not decoded,
            because its frame is not asked for and no other one depends on it, is not found to be damaged either.
        frames_read: source frames passed so far, whether yielded or not.
        decoder: the decoder at work, cpu or cuda. Where a card fails on the way, the processor goes on with the frame
            at which it did.
    """

    def __init__(
        self,
        path: str | Path,
        every: int = 1,
        threads: bool = True,
        *,
        motion_every: int | None = 1,
        max_frames: int | None = None,
        duration: float | None = None,
        decode: Decode = "cpu",
        card: Card | None = None,
        part: VideoPart | None = None,
    ) -> None:
        """Opens the file and decodes its first frame.

        Args:
            every: yield the frames whose index in the source is a multiple of this.
            threads: decode with several threads.
            motion_every: of the frames that are yielded, those whose index is a multiple of this come with what was
                `earlier`; None: none do, and nothing is decoded for it.
            max_frames: stop after this many source frames.
            duration: stop after this many seconds of the source.
            decode, card: what is to decode, and the card of the scene; see `DecoderChoice`.
            part: the frames that are yielded; all if None.

        Raises:
            UserError: the file is missing, not a video, cut off, has no decoder or not one frame that can be decoded.
        """
        if every < 1:
            raise ValueError(f"every must be at least 1, not {every}")
        self.damaged = 0
        self.frames_read = 0
        self._path, self._limits = Path(path), ReadLimits(max_frames, duration)
        self._threads, self._every, self._motion_every, self._part = threads, every, motion_every, part
        self._name = portable_name(self._path.stem)
        super().__init__(self._name, "a reader is read once; open the file again")
        self._choice = DecoderChoice(self._name, decode, card)
        self._converter = FrameConverter(threads, card)
        self.info = self._facts(self._begin())

    def _begin(self) -> VideoFrame:
        """Opens the file, on a card if it is to be and can, and returns its first frame, which is yet to be taken."""
        while True:
            try:
                first = self._open()
            except CardError as error:
                self._choice.give_up(str(error))
                continue
            context = self._stream.codec_context
            self.decoder: DecoderName = self._choice.used(first, context.name)
            if self.decoder == "cuda" or not context.is_hwaccel:
                return first
            self._container.close()  # the processor, in the card's place, would have one thread only

    def _open(self) -> VideoFrame:
        with self._choice.opening() as acceleration:
            self._container = open_file(self._path, acceleration)
        try:
            self._stream = first_video_stream(self._container, self._path)
            self._decoder = Decoder(
                self._container,
                self._stream,
                self._name,
                self._threads,
                self._every,
                self._motion_every,
                self._part.starts if self._part else (),
            )
            first = self._decoder.peek()
            self.damaged = self._decoder.damaged
            if first is None:
                if self._stream.codec_context.is_hwaccel:
                    raise CardError("the CUDA device decodes nothing of it")
                why = "all of its packets are damaged" if self.damaged else "it contains no frames"
                raise UserError(f"{self._path}: nothing to show, {why}; record or export the video again")
            return first
        except BaseException:
            self._container.close()
            raise

    def _facts(self, first: VideoFrame) -> SourceInfo:
        stream, (width, height) = self._stream, displayed_size(first)
        length = self._container.duration
        return SourceInfo(
            name=self._name,
            width=width,
            height=height,
            rate=self._decoder.rate,
            time_base=self._decoder.time_base,
            frames=exact_frames(stream, self._path.stat().st_size),
            duration=length / av.time_base if length else None,
            codec=stream.codec_context.codec.canonical_name,
            has_audio=bool(self._container.streams.audio),
            live=False,
            start_pts=self._part.start_pts if self._part else self._decoder.start_pts,
        )

    def _frames(self) -> Iterator[Frame]:
        finder = None if self._motion_every is None else CompanionFinder(self._decoder.tick, self._decoder.parts)
        first = self._part.first if self._part else 0
        try:
            for frame, index, pts in self._decoded():
                self.damaged = self._decoder.damaged
                # Without timestamps, the frame's place in the source is the best clock there is.
                ticks = None if pts is None else pts - self.info.start_pts
                time = float(index / self.info.rate if ticks is None else ticks * self.info.time_base)
                if self._limits.reached(index, time) or (self._part and index >= self._part.last):
                    return
                self.frames_read = index + 1
                companion = finder and finder.add(pts if self._decoder.timed else index, frame)
                if frame is not None and index % self._every == 0 and index >= first:
                    moves = index % (self._motion_every or 1) == 0
                    earlier = companion.earlier(self._converter) if companion and moves else None
                    pixels = DecodedPixels(frame, self._converter)
                    yield Frame(self.info.name, index, pts, time, None, pixels, earlier)
            self.damaged, self.frames_read = self._decoder.damaged, self._decoder.passed
        finally:
            self.close()

    def _decoded(self) -> Iterator[tuple[VideoFrame | None, int, int | None]]:
        """The decoder's frames; after a fault of the card, those that follow are the processor's."""
        passed = 0
        while True:
            try:
                for frame, index, pts in self._decoder:
                    if index >= passed:
                        passed = index + 1
                        yield frame, index, pts
                return
            except CardError as error:
                self._choice.give_up(str(error))
                self._container.close()
                self._begin()

    def close(self) -> None:
        """Closes the file; closing twice is fine."""
        self._container.close()

    @property
    def skipped(self) -> int:
        """Frames passed so far that did not have to be decoded."""
        return self._decoder.skipped


def count_frames(path: str | Path) -> int:
    """Returns the exact number of frames of a video file, from its packets alone, without decoding.

    Raises:
        UserError: the file cannot be opened as a video.
    """
    with open_file(Path(path)) as container:
        stream = first_video_stream(container, Path(path))
        return sum(1 for packet in container.demux(stream) if packet.size and not packet.is_discard)
