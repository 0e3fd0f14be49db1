"""A camera as a source that is read once, up to a limit or the end of the connection."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from time import monotonic

from msflow_stream.config.cameras import CameraSettings, Decode
from msflow_stream.types import Frame
from msflow_stream.video.cards import Card, Decoder, DecoderChoice
from msflow_stream.video.live.connection import Connection
from msflow_stream.video.live.faults import CameraError
from msflow_stream.video.pixels import DecodedPixels
from msflow_stream.video.reading.colour import FrameConverter
from msflow_stream.video.reading.source_info import OneShot, ReadLimits, live_name

logger = logging.getLogger(__name__)


class LiveReader(OneShot):
    """A camera that is read until it ends, the connection is lost or a limit is reached. To be iterated once.

    Attributes:
        info: the facts of the stream.
        damaged: packets so far that could not be decoded.
        frames_read: frames received so far, whether yielded or not.
        decoder: the decoder at work, cpu or cuda.
    """

    def __init__(
        self,
        url_or_index: str,
        every: int = 1,
        open_timeout: float = 10.0,
        read_timeout: float = 10.0,
        *,
        motion_every: int | None = 1,
        max_frames: int | None = None,
        duration: float | None = None,
        decode: Decode = "cpu",
        card: Card | None = None,
    ) -> None:
        """Connects and waits for the first frame.

        Args:
            url_or_index: an rtsp, rtsps, http, https, rtmp, udp, tcp or srt URL, or a webcam's number.
            every: yield the frames whose index since the connection is a multiple of this.
            motion_every: of the frames that are yielded, those whose index is a multiple of this come with what was
                `earlier`; None: none do.
            open_timeout, read_timeout: seconds without an answer until giving up.
            max_frames: stop after this many frames received.
            duration: stop after this many seconds of the stream.
            decode, card: what is to decode, and the card of the scene; see `DecoderChoice`.

        Raises:
            UserError: no connection, or no frame comes. Credentials are never part of the text.
        """
        if every < 1:
            raise ValueError(f"every must be at least 1, not {every}")
        self.frames_read = self.damaged = 0
        self._limits = ReadLimits(max_frames, duration)
        self._every, self._motion_every = every, motion_every
        settings = CameraSettings(open_timeout=open_timeout, read_timeout=read_timeout)
        choice = DecoderChoice(live_name(url_or_index), decode, card)
        self._connection = Connection(url_or_index, settings, choice=choice, motion=motion_every is not None)
        self.info = self._connection.info
        self.decoder: Decoder = self._connection.decoder
        super().__init__(self.info.name, "a reader is read once; connect again")
        self._converter = FrameConverter(card=card)

    def _frames(self) -> Iterator[Frame]:
        begin = monotonic()
        try:
            for frame, number, pts, companion in self._connection:
                wall, self.damaged = datetime.now(UTC), self._connection.damaged
                ticks = None if pts is None else pts - self.info.start_pts
                time = monotonic() - begin if ticks is None else float(ticks * self.info.time_base)
                if self._limits.reached(number, time):
                    return
                self.frames_read = number + 1
                if number % self._every == 0:
                    moves = number % (self._motion_every or 1) == 0
                    earlier = companion.earlier(self._converter) if companion and moves else None
                    pixels = DecodedPixels(frame, self._converter)
                    yield Frame(self.info.name, number, pts, time, wall, pixels, earlier)
        except CameraError as error:
            logger.warning("%s: no more frames (%s)", self.info.name, error)
        finally:
            self.close()

    def close(self) -> None:
        """Ends the connection; closing twice is fine."""
        self._connection.close()
