"""The faults of cameras, told apart, each with what a person should check."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import av
from av import error as errors

from msflow_stream.logs import redact
from msflow_stream.types import UserError

TLS_SCHEMES = ("rtsps:", "https:", "rtmps:", "tls:")


class Fault(StrEnum):
    """The kinds of trouble; the values are fit for a metric's label."""

    CREDENTIALS = "credentials"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    TLS = "tls"
    ADDRESS = "address"
    SERVER = "server"
    CODEC = "codec"
    GARBLED = "garbled"
    LOST = "lost"
    ENDED = "ended"
    SILENT = "silent"
    FROZEN = "frozen"
    BLACK = "black"
    BUG = "bug"


ADVICE: Mapping[Fault, str] = {
    Fault.CREDENTIALS: "check user and password, and that the user may see this stream",
    Fault.NOT_FOUND: "check the stream's path",
    Fault.REFUSED: "check the port, and that the camera's streaming is on",
    Fault.UNREACHABLE: "check the host's name, the network and the camera's power",
    Fault.TIMEOUT: "check the network, and that a video stream is at this address",
    Fault.TLS: "check the host's name, and that this port speaks TLS; or give the address without TLS",
    Fault.ADDRESS: "check how the address is written",
    Fault.SERVER: "check how many viewers the camera allows, or restart it",
    Fault.CODEC: "set the camera to H.264 or H.265",
    Fault.GARBLED: "check that a video stream is at this address",
    Fault.LOST: "check the network and the camera's power",
    Fault.ENDED: "check whether the camera was restarted or the stream is limited in time",
    Fault.SILENT: "check the network and the camera's load",
    Fault.FROZEN: "restart the camera",
    Fault.BLACK: "check the lens, the light and the camera's input",
    Fault.BUG: "report it with the log",
}

# The first that fits counts, so a special class stands before its base.
_CLASSES: tuple[tuple[type[av.FFmpegError] | tuple[type[av.FFmpegError], ...], Fault], ...] = (
    ((errors.HTTPUnauthorizedError, errors.HTTPForbiddenError), Fault.CREDENTIALS),
    ((errors.HTTPNotFoundError, errors.FileNotFoundError), Fault.NOT_FOUND),
    (errors.HTTPError, Fault.SERVER),
    (errors.ConnectionRefusedError, Fault.REFUSED),
    ((errors.ExitError, errors.TimeoutError), Fault.TIMEOUT),
    ((errors.ConnectionResetError, errors.ConnectionAbortedError, errors.BrokenPipeError), Fault.LOST),
    ((errors.DecoderNotFoundError, errors.PatchWelcomeError), Fault.CODEC),
    ((errors.ProtocolNotFoundError, errors.ArgumentError), Fault.ADDRESS),
    ((errors.InvalidDataError, errors.DemuxerNotFoundError), Fault.GARBLED),
)


class CameraError(UserError):
    """An error: a camera gives no frames. The text, one line, says why and what to check, without credentials.

    Attributes:
        fault: the kind of trouble.
    """

    def __init__(self, url: str, fault: Fault, what: str) -> None:
        """Takes the parts of the text: `what` must not hold credentials; `url` is redacted here."""
        super().__init__(f"{redact(url)}: {what}; {ADVICE[fault]}")
        self.fault = fault


def open_error(error: av.FFmpegError, url: str, waited: float, timeout: float) -> CameraError:
    """Returns what an error on connecting means; `waited` and `timeout` in seconds."""
    # FFmpeg says "Input/output error" for many things, a failed handshake and an unknown host among them.
    other = Fault.TLS if url.lower().startswith(TLS_SCHEMES) else Fault.UNREACHABLE
    fault = _fault(error, waited >= timeout, other)
    return CameraError(url, fault, f"cannot connect ({_said(error, fault, timeout)})")


def read_error(error: av.FFmpegError, url: str, waited: float, timeout: float) -> CameraError:
    """Returns what an error in mid-stream means; `waited` and `timeout` in seconds."""
    fault = _fault(error, waited >= timeout, Fault.LOST)
    return CameraError(url, fault, f"connection lost ({_said(error, fault, timeout)})")


def _fault(error: av.FFmpegError, late: bool, other: Fault) -> Fault:
    """Returns an error's kind; `other` is that of no particular class; one that came `late` may be of any class."""
    fault = next((fault for kinds, fault in _CLASSES if isinstance(error, kinds)), other)
    return Fault.TIMEOUT if late and fault in (Fault.GARBLED, Fault.ADDRESS, other) else fault


def _said(error: av.FFmpegError, fault: Fault, timeout: float) -> str:
    if fault is Fault.TIMEOUT:
        return f"no answer within {timeout:g} s"
    # strerror is FFmpeg's fixed text for the error code; str(error) would add the URL.
    return redact(error.strerror or "unknown error")
