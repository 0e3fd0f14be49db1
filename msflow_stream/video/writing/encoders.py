"""Encoders of H.264: x264, and those of graphics cards, which are taken once they have shown that they work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from msflow_stream.cores import usable_cores
from msflow_stream.types import UserError
from msflow_stream.video.planar import planar_image
from msflow_stream.video.reading.colour import FrameConverter

logger = logging.getLogger(__name__)

# From the quickest to the smallest. Superfast is left out: no quicker than veryfast, and three times as large.
Preset = Literal["ultrafast", "veryfast", "faster", "fast", "medium"]
EncoderWish = Literal["auto", "libx264", "h264_nvenc", "h264_qsv", "h264_vaapi"]

X264 = "libx264"
MAX_LOOKAHEAD = 10  # frames; x264's own for preset veryfast
MOST_THREADS = 4  # slices of a frame that are encoded at once; more cores are better used by the networks
TRIAL_SIZE, TRIAL_FRAMES = (640, 360), 4


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """An encoder of H.264 without B-frames, whose decoding order is display order.

    Attributes:
        name: as FFmpeg knows it.
        pix_fmt: the layout of the frames that it takes; others are brought to it.
        options: its private options, from frames per second, a quality (0 to 51, smaller is better) and x264's preset.
    """

    name: str
    pix_fmt: str
    options: Callable[[Fraction, int, Preset], Mapping[str, str]]


def _of_x264(rate: Fraction, crf: int, preset: Preset) -> Mapping[str, str]:
    # Preset ultrafast spreads no quality within a frame or among frames. All that a rate factor does there is to find
    # one quantiser for each frame, by a motion search of its own that takes a third of the time.
    quality = {"qp": str(crf)} if preset == "ultrafast" else {"crf": str(crf)}
    params = f"rc-lookahead={min(MAX_LOOKAHEAD, int(rate / 2))}:sync-lookahead=0:sliced-threads=1"
    return {**quality, "preset": preset, "bf": "0", "forced-idr": "1", "x264-params": params}


def _of_nvenc(rate: Fraction, crf: int, preset: Preset) -> Mapping[str, str]:
    return {"preset": "p1", "rc": "constqp", "qp": str(crf), "bf": "0", "forced-idr": "1", "delay": "0"}


def _of_qsv(rate: Fraction, crf: int, preset: Preset) -> Mapping[str, str]:
    quality = {"global_quality": str(max(1, crf))}
    return {**quality, "preset": "veryfast", "bf": "0", "forced_idr": "1", "async_depth": "1"}


def _of_vaapi(rate: Fraction, crf: int, preset: Preset) -> Mapping[str, str]:
    return {"rc_mode": "CQP", "qp": str(max(1, crf)), "bf": "0"}


ENCODERS = {
    choice.name: choice
    for choice in (
        EncoderChoice(X264, "yuv420p", _of_x264),
        EncoderChoice("h264_nvenc", "yuv420p", _of_nvenc),
        EncoderChoice("h264_qsv", "nv12", _of_qsv),
        EncoderChoice("h264_vaapi", "nv12", _of_vaapi),
    )
}


def choose_encoder(wish: EncoderWish) -> EncoderChoice:
    """Returns the encoder of that name or, for auto, the first one of a graphics card that works here, else x264.

    Raises:
        UserError: the encoder of that name does not work here.
    """
    if wish == "auto":
        return _automatic()
    if wish != X264 and (reason := obstacle(ENCODERS[wish])) is not None:
        raise UserError(f"the encoder {wish} does not work here: {reason}; choose auto or {X264}")
    return ENCODERS[wish]


def _automatic() -> EncoderChoice:
    reasons = []
    for name, choice in ENCODERS.items():
        if name != X264:
            reason = obstacle(choice)
            if reason is None:
                logger.info("overlays are encoded by %s", name)
                return choice
            reasons.append(f"{name}: {reason}")
    logger.info("overlays are encoded by %s, as no graphics card does it (%s)", X264, "; ".join(reasons))
    return ENCODERS[X264]


def obstacle(choice: EncoderChoice) -> str | None:
    """Returns why an encoder does not work, by encoding a few frames and decoding them again; None if it does."""
    try:
        return None if _try(choice) == TRIAL_FRAMES else "what it encodes cannot be decoded"
    except av.codec.codec.UnknownCodecError:
        return "this FFmpeg does not have it"
    except (av.FFmpegError, OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)


def _try(choice: EncoderChoice) -> int:
    """Encodes some frames and returns how many of them can be decoded."""
    encoder = av.CodecContext.create(choice.name, "w")
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(encoder, VideoCodecContext)
    assert isinstance(decoder, VideoCodecContext)
    width, height = encoder.width, encoder.height = TRIAL_SIZE
    encoder.pix_fmt, encoder.time_base, encoder.framerate = choice.pix_fmt, Fraction(1, 25), Fraction(25)
    encoder.options = dict(choice.options(Fraction(25), 23, "ultrafast"))
    frames, packets = FrameConverter(), []
    for number in range(TRIAL_FRAMES):
        frame = planar_image(np.full((height, width, 3), 60 * number, np.uint8), frames)
        frame.pts, frame.time_base = number, encoder.time_base
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoded = [frame for packet in packets for frame in decoder.decode(av.Packet(bytes(packet)))]
    return len([*decoded, *decoder.decode(None)])


def threads_for(live: bool) -> int:
    """Returns the threads of an encoder: one where frames come at the speed of a camera, else some of the cores."""
    return 1 if live else min(MOST_THREADS, usable_cores())
