"""The overlay of a camera, live, pushed to an RTSP server."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from random import Random
from time import monotonic

import av
from av.video.frame import VideoFrame

from msflow_stream.config.cameras import Backoff
from msflow_stream.logs import Outage, redact
from msflow_stream.types import Frame, FrameScore, ScoreRow
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle
from msflow_stream.watch.outputs.rtp_encoder import RtpEncoder
from msflow_stream.watch.outputs.rtsp_login import Address
from msflow_stream.watch.outputs.rtsp_publisher import PublishError, RtspPublisher

logger = logging.getLogger(__name__)


class Restream:
    """A sink that pushes each scored frame with its overlay, as H.264 over one TCP connection, for ever.

    A server that is away is tried again and again; frames are passed over meanwhile. Frames of another size come over a
    new connection. `write` may wait for the server as long as the timeout: run it in a `ThreadedSink`.
    """

    def __init__(
        self,
        url: str,
        style: OverlayStyle,
        rate_hint: float = 5.0,
        *,
        random: Random,
        backoff: Backoff | None = None,
        timeout: float = 5.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Prepares; nothing is opened before the first frame.

        Args:
            url: rtsp:// or rtsps:// with the path to publish at, and user and password if the server wants them.
            rate_hint: about how many scored frames a second come.
            random: the source of the jitter of the waits.
            timeout: seconds that the server may take for each step.

        Raises:
            UserError: not such a URL.
        """
        self._address, self._shown = Address.parse(url), redact(url)
        self._overlay = Overlay(style)
        self._rate = Fraction(rate_hint).limit_denominator(1000)
        self._random, self._backoff = random, backoff or Backoff()
        self._timeout, self._clock = timeout, clock
        self._link: _Link | None = None
        self._begun = self._due = -math.inf  # the last connection and the next attempt, on the clock
        self._failures = 0
        self._away = 0
        self._closed = False
        self._trouble = Outage(logger)

    @property
    def losses(self) -> Mapping[str, int]:
        """Frames that are not in its output, by cause."""
        return {"away": self._away}

    def write(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        """Pushes a frame."""
        if self._closed:
            raise ValueError(f"the restream to {self._shown} is closed")
        if self._link is not None and self._link.shape != frame.shape:
            self._hang_up()
        if self._link is None and self._clock() < self._due:
            self._away += 1
            return
        try:
            drawn = self._overlay.draw_scored(frame, score, row)
            if self._link is None:
                self._link = self._connected(frame.shape, drawn)
            self._link.send(drawn, frame.time)
        except (PublishError, av.FFmpegError) as error:
            self._away += 1
            self._fail(error)
            return
        if self._clock() - self._begun >= self._backoff.settled:
            self._trouble.end(f"restream to {self._shown} works again; {self._away} frames were not sent so far")

    def close(self) -> None:
        """Ends the session; twice is fine."""
        self._closed = True
        self._hang_up()

    def _connected(self, shape: tuple[int, ...], first: VideoFrame) -> _Link:
        link = _Link(self._address, shape, first, self._rate, self._timeout)
        self._begun = self._clock()
        if not self._trouble.lasts:
            logger.info("restream to %s has begun, %d x %d", self._shown, shape[1], shape[0])
        return link

    def _fail(self, error: Exception) -> None:
        """Lets go of the connection, and has the next one wait."""
        reason = getattr(error, "strerror", None) or str(error)
        held = self._clock() - self._begun if self._link is not None else 0.0
        self._failures = 1 if held >= self._backoff.settled else self._failures + 1
        self._hang_up()
        patient = isinstance(error, PublishError) and error.credentials
        self._due = self._clock() + self._backoff.delay(self._failures, self._random, patient)
        self._trouble.begin(f"restream to {self._shown}: {reason}; it is tried again and again", reason)

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None


class _Link:
    """A connection with its encoder, for frames of one shape (H x W x 3)."""

    def __init__(
        self, address: Address, shape: tuple[int, ...], first: VideoFrame, rate: Fraction, timeout: float
    ) -> None:
        self.shape = shape
        self._encoder = RtpEncoder(first, rate)
        try:
            self._publisher = RtspPublisher(address, self._encoder.describe(), timeout)
        except BaseException:
            self._encoder.close()
            raise

    def send(self, frame: VideoFrame, time: float) -> None:
        self._publisher.send(self._encoder.encode(frame, time))

    def close(self) -> None:
        self._publisher.close()
        self._encoder.close()
