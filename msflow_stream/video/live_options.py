"""How a live camera is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from msflow_stream.video.backoff import Backoff


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How a camera is read; all times in seconds.

    Attributes:
        every: hand on the frames whose index is a multiple of this.
        transport: how RTSP sends pictures.
        open_timeout, read_timeout: without an answer for so long, the connection is given up.
        stalled_after: without a frame for so long, the camera counts as stalled.
        frozen_after, black_after: so long must pictures be identical, or without texture, to be reported.
        attempts: give up after so many failed attempts in a row, None for never.
    """

    every: int = 1
    transport: Literal["tcp", "udp"] = "tcp"
    open_timeout: float = 10.0
    read_timeout: float = 10.0
    stalled_after: float = 3.0
    frozen_after: float = 30.0
    black_after: float = 10.0
    backoff: Backoff = field(default_factory=Backoff)
    attempts: int | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every must be at least 1, not {self.every}")
