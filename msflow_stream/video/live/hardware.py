"""The decoder that a camera's frames go through: the graphics card's or the processor's."""

from __future__ import annotations

import logging
from typing import Literal

import av
from av.codec import Codec
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext

from msflow_stream.config.cameras import Decode

logger = logging.getLogger(__name__)

Decoder = Literal["cpu", "cuda"]
TRIAL_CODEC = "h264"  # every card that decodes anything decodes this


class DecoderChoice:
    """The choice of one camera's decoder, for each of its connections; why it is not the card is said once.

    Attributes:
        reason: why the card is not used, although it may be; None while nothing is known against it.
    """

    def __init__(self, name: str, wish: Decode = "cpu") -> None:
        """Takes a name for the log, and a wish: auto for the card where there is one, or one decoder or the other."""
        self.reason: str | None = None
        self._name, self._wish = name, wish

    def acceleration(self) -> HWAccel | None:
        """Returns the acceleration that a connection is to be opened with, None for the processor."""
        if self._wish == "cpu":
            return None
        try:  # a device that is let go at once: a failure inside av.open would look like one of the camera
            HWAccel("cuda").create(Codec(TRIAL_CODEC, "r"))
        except (av.FFmpegError, NotImplementedError) as error:
            self._note(f"no CUDA device can be used: {getattr(error, 'strerror', None) or error}")
            return None
        return HWAccel("cuda", allow_software_fallback=True)

    def used(self, context: VideoCodecContext) -> Decoder:
        """Returns the decoder at work; asked before the first frame is decoded, it may err."""
        if context.is_hwaccel and context.pix_fmt == "cuda":  # what the decoder settled on; frames are fetched from it
            return "cuda"
        if self._wish != "cpu" and self.reason is None:
            self._note(f"the CUDA device does not decode this kind of {context.name}")
        return "cpu"

    def _note(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason
            level = logging.WARNING if self._wish == "cuda" else logging.INFO
            logger.log(level, "%s: decodes on the processor (%s)", self._name, reason)
