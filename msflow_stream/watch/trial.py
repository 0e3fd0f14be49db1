"""The trial of an address that a person types: what stands in its way, in words, or the first frame."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Literal
from urllib.parse import SplitResult, quote, urlsplit

from av.video.frame import VideoFrame

from msflow_stream.config.cameras import CameraSettings
from msflow_stream.types import Image
from msflow_stream.video.live.connection import Connection
from msflow_stream.video.live.faults import CameraError, Fault
from msflow_stream.video.pixels import DecodedPixels
from msflow_stream.video.reading.colour import FrameConverter

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps")  # what goes out to a camera: no file, no listening
PATIENCE = 8.0  # seconds for each of: the answer, the stream's facts, the first frame
FOR_A_WHOLE = 8.0  # seconds; most cameras send a whole frame every one or two
LONGEST = 2000  # letters
Field = Literal["address", "user", "password"]

# What a person reads of each fault: what is wrong, what to do, and the field that it is about.
WORDS: Mapping[Fault, tuple[str, str, Field]] = {
    Fault.CREDENTIALS: (
        "The camera does not accept this user and password.",
        "Check both, and that this user may see the stream; many cameras have a separate user for streams.",
        "user",
    ),
    Fault.NOT_FOUND: (
        "The camera answers, but has no stream at this path.",
        "Check what comes after the host: the camera's manual has it, often as “RTSP address”.",
        "address",
    ),
    Fault.REFUSED: (
        "The host is there, but nothing answers at this port.",
        "Check the port, and that streaming is switched on in the camera.",
        "address",
    ),
    Fault.UNREACHABLE: (
        "Nothing can be reached at this host.",
        "Check the host, the camera's power and the network between it and this machine.",
        "address",
    ),
    Fault.TIMEOUT: (
        "There is no answer.",
        "Check the host, and that no firewall is in between; then try again.",
        "address",
    ),
    Fault.TLS: (
        "No encrypted connection comes about.",
        "Check the host's name and its certificate, or use the address without encryption: rtsp:// or http://.",
        "address",
    ),
    Fault.SERVER: (
        "The camera refuses to send the stream.",
        "Check how many viewers it allows at once, or restart it.",
        "address",
    ),
    Fault.CODEC: (
        "The camera's coding of video cannot be read.",
        "Set the stream to H.264 or H.265 in the camera.",
        "address",
    ),
    Fault.GARBLED: (
        "Something answers, but there is no video that can be read.",
        "Check that the address is that of a video stream, coded as H.264 or H.265, and not of a web page.",
        "address",
    ),
    Fault.ADDRESS: ("This address cannot be used.", "Check how it is written.", "address"),
}
LOST = ("The camera ends the connection before a frame comes.", "Check the camera's load, and try again.", "address")
NEEDS_LOGIN = ("The camera asks for a user and a password.", "Type those of the camera below.", "user")
NO_HOST = (
    "There is no host of this name.",
    "Check how it is written, or give its number, such as 192.0.2.10.",
    "address",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """What stands in the way; never with the address or what is secret.

    Attributes:
        kind: a fault, or `host`: there is no such name.
        field: where a person can put it right.
    """

    kind: str
    text: str
    advice: str
    field: Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a camera showed: its first frame, RGB, and the facts of its stream; `seconds` until the frame was there."""

    image: Image
    codec: str
    rate: float
    seconds: float


def checked(address: str, user: str, password: str) -> str | Obstacle:
    """Returns the address of a camera in the network with its credentials, or what is wrong with it."""
    address = address.strip()
    parts = _parts(address)
    if parts is None or parts.scheme.lower() not in SCHEMES:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        return _obstacle("address", ("This is no address of a camera.", f"It begins with one of {known}", "address"))
    if "@" in parts.netloc:
        own = "User and password have fields of their own."
        return _obstacle("address", (own, "Take them out of the address and type them below.", "address"))
    if password and not user:
        return _obstacle("address", ("There is a password without a user.", "Type the user, too.", "user"))
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "") + "@" if user else ""
    rest = address.partition("://")[2].replace("${", "%24{")  # which would be a variable in the cameras file
    return f"{parts.scheme.lower()}://{login}{rest}"


def try_camera(url: str, transport: Literal["tcp", "udp"] = "tcp") -> Shown | Obstacle:
    """Opens an address of `checked` once, waits for its first frame, and closes it; within some half a minute."""
    begin, parts = monotonic(), urlsplit(url)
    try:
        socket.getaddrinfo(parts.hostname, parts.port or 80)
    except (OSError, UnicodeError):
        return _obstacle("host", NO_HOST)
    settings = CameraSettings(transport=transport, open_timeout=PATIENCE, read_timeout=PATIENCE, decode="cpu")
    try:
        connection = Connection(url, settings, name="trial", motion=False)
    except CameraError as error:
        words = WORDS.get(error.fault, LOST)
        if error.fault is Fault.CREDENTIALS and parts.username is None:
            words = NEEDS_LOGIN
        return _obstacle(error.fault, words)
    seconds = monotonic() - begin
    try:
        frame = _whole_frame(connection)
        return Shown(
            image=DecodedPixels(frame, FrameConverter()).image(),
            codec=connection.info.codec,
            rate=float(connection.info.rate),
            seconds=seconds,
        )
    except CameraError:  # it went away while a whole frame was waited for
        return _obstacle(Fault.LOST, LOST)
    finally:
        connection.close()


def _whole_frame(connection: Connection) -> VideoFrame:
    """Returns the first frame that needs none before it, or the newest after a while: a stream begins anywhere."""
    begin = monotonic()
    for decoded in connection:
        is_whole = decoded.frame.key_frame and not decoded.frame.is_corrupt
        if is_whole or monotonic() - begin > FOR_A_WHOLE:
            return decoded.frame
    raise AssertionError  # a connection ends by an error


def _parts(address: str) -> SplitResult | None:
    """Returns the parts of an address; None where it is none."""
    try:
        parts = urlsplit(address)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    odd = re.search(r"[\s\x00-\x1f\x7f\\\"<>]", address)
    return None if not known or odd or len(address) > LONGEST or "://" not in address else parts


def _obstacle(kind: str, words: tuple[str, str, str]) -> Obstacle:
    return Obstacle(kind=str(kind), text=words[0], advice=words[1], field=words[2])  # type: ignore[arg-type]
