"""Frames become an H.264 MP4 with the source's timestamps and sound."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container import OutputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from msflow_stream.types import Image, UserError
from msflow_stream.video.writing.audio import MARGIN, AudioTrack
from msflow_stream.video.writing.disk_file import DiskFile
from msflow_stream.video.writing.encoder_frames import EncoderFrames
from msflow_stream.video.writing.encoders import ENCODERS, X264, EncoderChoice, Preset, threads_for

logger = logging.getLogger(__name__)

FRAGMENT_SECONDS = 1
KEYFRAME_SECONDS = 2
FINEST_TIME_BASE = Fraction(1, 1_000_000)  # MP4 counts a frame's duration in 32 bits

CONTAINER_OPTIONS = {
    "movflags": "hybrid_fragmented+delay_moov",  # fragments while writing, a plain MP4 once closed
    "frag_duration": str(FRAGMENT_SECONDS * 1_000_000),
    "flush_packets": "1",
    "max_interleave_delta": "1",  # microseconds: packets come in order already, so wait for no stream
}


class VideoWriter:
    """An H.264 yuv420p MP4 that frames are written to as they come; a context manager.

    Timestamps are the source's, from zero, so a variable frame rate stays as it was; the last frame lasts 1 / `rate`.
    The sound of `audio_from`, if it has any, is copied in step with the frames and ends with them. An odd width or
    height grows by one column or row, a copy of the last. The file appears with the first frame and holds what was
    written even if the `with` block fails. After SIGKILL everything is readable but the last fragment and what the
    encoder held: at most `FRAGMENT_SECONDS` plus half a second of video, plus two frames.

    Example:
        >>> with VideoWriter(path, 1280, 720, Fraction(1, 90000), Fraction(25), audio_from=source) as writer:
        ...     for frame in frames:
        ...         writer.write(frame.image, frame.pts)
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        time_base: Fraction,
        rate: Fraction,
        audio_from: Path | None = None,
        crf: int = 23,
        preset: Preset = "veryfast",
        encoder: EncoderChoice = ENCODERS[X264],
        live: bool = False,
    ) -> None:
        """Prepares; no file is touched before the first frame.

        Args:
            path: the file to write, replaced if it exists.
            width, height: size of the video in pixels; a frame of another size is resized to it.
            time_base: seconds per tick of the timestamps. Finer than a microsecond is rounded to microseconds.
            rate: average frames per second: the duration of the last frame and a hint for the encoder.
            audio_from: the file whose first audio stream is to be heard, on the same clock as the timestamps.
            crf: x264's constant rate factor, 0 (lossless) to 51; the constant quantiser of preset ultrafast.
            preset: x264's speed.
            encoder: what encodes.
            live: frames come at the speed of a camera, for which one thread is enough.

        Raises:
            UserError: if the folder does not exist or `path` is the source itself.
            ValueError: if a size, `time_base` or `rate` is not positive.
        """
        if width < 1 or height < 1 or time_base <= 0 or rate <= 0:
            raise ValueError(f"width, height, time_base, rate must be positive: {width}, {height}, {time_base}, {rate}")
        if not path.absolute().parent.is_dir():
            raise UserError(f"cannot write {path}: its folder does not exist; create it first")
        if audio_from is not None and path.resolve() == audio_from.resolve():
            raise UserError(f"cannot write {path}: it is the source itself; choose another output")
        self.frames = 0
        self._path = path
        self._converter = EncoderFrames(width, height)
        self._source_time_base = time_base
        self._time_base = time_base if time_base.denominator <= FINEST_TIME_BASE.denominator else FINEST_TIME_BASE
        self._rate = rate.limit_denominator(100_000)
        self._audio_from = audio_from
        self._encoder, self._options = encoder, dict(encoder.options(rate, crf, preset))
        self._threads = threads_for(live)
        self._last_frame_ticks = max(1, round(1 / rate / self._time_base))
        self._keyframe_ticks = max(1, round(KEYFRAME_SECONDS / self._time_base))
        self._last_ticks = -1
        self._next_keyframe = 0
        self._output: OutputContainer | None = None
        self._file: DiskFile | None = None
        self._audio: AudioTrack | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            try:
                self.close()
            except UserError as closing:  # the first error is the one to be told
                logger.error("%s", closing)

    def write(self, image: Image | VideoFrame, pts: int) -> None:
        """Adds one frame.

        Args:
            image: uint8 H x W x 3, RGB; or a planar frame (see `planar_copy`), which is encoded as it is, and changed
                only in its timestamps and its type.
            pts: the frame's time in ticks of `time_base`, as the source counts them. One that does not come after the
                frame before is moved to one tick after it.

        Raises:
            UserError: if the file cannot be written.
            ValueError: if the image is neither, or the writer is closed.
        """
        if self._closed:
            raise ValueError(f"the writer of {self._path} is closed")
        frame = self._converter.convert(image)
        if self._output is None:
            self._open(pts, frame)
        ticks = max(self._ticks(pts), self._last_ticks + 1)
        frame.time_base, frame.pts = self._time_base, ticks
        frame.pict_type = PictureType.NONE
        if ticks >= self._next_keyframe:
            frame.pict_type = PictureType.I
            self._next_keyframe = ticks + self._keyframe_ticks
        self._encode(frame)
        self._last_ticks = ticks
        self.frames += 1

    def close(self) -> None:
        """Finishes the file; twice is fine. Leaves no file if no frame was written.

        Raises:
            UserError: if the end of the file cannot be written.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._output is not None and self.frames > 0:
                self._encode(None)
                if self._audio is not None:
                    self._audio.copy_until((self._last_ticks + self._last_frame_ticks) * self._time_base + MARGIN)
        finally:
            self._release()

    def _release(self) -> None:
        if self._audio is not None:
            self._audio.close()
        if self._output is None:
            return
        try:
            self._output.close()
        except OSError as error:
            raise self._failed(error) from error
        finally:
            if self._file is not None:
                self._file.close()
            if self.frames == 0 and self._path.is_file():
                self._path.unlink()

    def _ticks(self, pts: int) -> int:
        """Returns the source's timestamp in our ticks from the first frame; exact unless it is too fine for MP4."""
        return round((pts - self._first_pts) * self._source_time_base / self._time_base)

    def _open(self, first_pts: int, first: VideoFrame) -> None:
        self._first_pts, self._first = first_pts, first
        if self._audio_from is not None:
            self._audio = AudioTrack.open(self._audio_from, first_pts * self._source_time_base)
        try:
            self._start(self._audio)
        except (OSError, ValueError) as error:
            if self._audio is None:
                raise self._failed(error) from error
            self._audio.close()
            self._audio = None
            self._retry_without_audio(error)

    def _retry_without_audio(self, error: Exception) -> None:
        try:
            self._start(None)
        except (OSError, ValueError) as second:
            raise self._failed(second) from second
        logger.warning("no audio is written to %s: %s", self._path.name, error)

    def _start(self, audio: AudioTrack | None) -> None:
        """Opens the file and writes its header, with a stream for the audio where there is some."""
        file = DiskFile(self._path)
        try:
            output = av.open(file, "w", format="mp4", container_options=CONTAINER_OPTIONS)
            self._stream = self._add_video(output)
            if audio is not None:
                audio.attach(output)
            output.start_encoding()
        except BaseException:
            file.close()
            raise
        self._output, self._file = output, file

    def _add_video(self, output: OutputContainer) -> VideoStream:
        stream = output.add_stream(self._encoder.name, rate=self._rate, options=self._options)
        assert isinstance(stream, VideoStream)
        self._converter.describe(stream.codec_context, self._first)
        stream.codec_context.pix_fmt, stream.codec_context.thread_count = self._encoder.pix_fmt, self._threads
        stream.time_base = stream.codec_context.time_base = self._time_base
        stream.codec_context.gop_size = 1_000_000  # keyframes are asked for by time, which a frame count is not
        return stream

    def _encode(self, frame: VideoFrame | None) -> None:
        """Encodes a frame, None for the rest, and writes what is ready after the sound that comes before it."""
        assert self._output is not None
        try:
            for packet in self._stream.encode(frame):
                packet.duration = self._last_frame_ticks  # counts for the last only; the others last until the next
                if self._audio is not None and packet.pts is not None:
                    self._audio.copy_until(packet.pts * packet.time_base)
                self._output.mux(packet)
        except (OSError, ValueError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> UserError:
        reason = getattr(error, "strerror", None) or error
        return UserError(f"cannot write {self._path}: {reason}; check the disk and the folder's permissions")
