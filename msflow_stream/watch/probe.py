"""The probe of a camera: it is opened once, to learn whether it shows anything, and what."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from time import monotonic

from msflow_stream.config.cameras import CameraSettings
from msflow_stream.video.cards import Card, Decoder, DecoderChoice
from msflow_stream.video.live.connection import Connection
from msflow_stream.video.reading.source_info import SourceInfo
from msflow_stream.video.sources import open_source
from msflow_stream.watch.file_camera import is_file


@dataclass(frozen=True, slots=True)
class Probe:
    """The facts of a camera that was opened once.

    Attributes:
        name: the camera's name.
        width, height: size of its first frame in pixels.
        codec: the codec's name, as FFmpeg calls it.
        rate: frames per second, as the stream says.
        seconds: time from the first attempt to connect until the first frame.
        decoder: the decoder that decoded it.
    """

    name: str
    width: int
    height: int
    codec: str
    rate: Fraction
    seconds: float
    decoder: Decoder


def probe(url: str, name: str, settings: CameraSettings | None = None, card: Card | None = None) -> Probe:
    """Opens a camera, a webcam or a file once, waits for its first frame and closes it.

    The decoder is that of the settings, on the card that the scenes will be on.

    Raises:
        UserError: it shows none; a CameraError, where a live one is to blame. Credentials are never part of the text.
    """
    begin = monotonic()
    look = _look_at_file if is_file(url) else _look_at_camera
    info, decoder = look(url, name, settings or CameraSettings(), card)
    return Probe(name, info.width, info.height, info.codec, info.rate, monotonic() - begin, decoder)


def _look_at_file(path: str, _: str, settings: CameraSettings, card: Card | None) -> tuple[SourceInfo, Decoder]:
    with open_source(path, motion_every=None, decode=settings.decode, card=card) as reader:
        return reader.info, reader.decoder


def _look_at_camera(url: str, name: str, settings: CameraSettings, card: Card | None) -> tuple[SourceInfo, Decoder]:
    connection = Connection(url, settings, name=name, choice=DecoderChoice(name, settings.decode, card))
    try:
        return connection.info, connection.decoder
    finally:
        connection.close()
