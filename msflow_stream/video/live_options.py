"""How a live camera is read."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from msflow_stream.config.cameras import Decode
from msflow_stream.video.backoff import Backoff


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How a camera is read; all times in seconds.

    Attributes:
        every: hand on the frames whose index is a multiple of this.
        transport: how RTSP sends pictures.
        decode: by the graphics card (cuda), the processor (cpu), or the card where it can (auto).
        open_timeout, read_timeout: without an answer for so long, the connection is given up.
        stalled_after: without a frame for so long, the camera counts as stalled.
        frozen_after, black_after: so long must pictures be identical, or without texture, to be reported; None for
            never.
        backoff: the waits between attempts to connect.
        attempts: give up after so many failed attempts in a row, None for never.
    """

    every: int = 5
    transport: Literal["tcp", "udp"] = "tcp"
    decode: Decode = "auto"
    open_timeout: float = 10.0
    read_timeout: float = 10.0
    stalled_after: float = 3.0
    frozen_after: float | None = 30.0
    black_after: float | None = 10.0
    backoff: Backoff = field(default_factory=Backoff)
    attempts: int | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every must be at least 1, not {self.every}")

    @classmethod
    def of(cls, settings: Any) -> Self:
        """The options that `settings`, such as a camera of cameras.yaml, has as attributes of the same names."""
        values = {one.name: getattr(settings, one.name) for one in fields(cls)}
        waits = values.pop("backoff")
        return cls(**values, backoff=Backoff(**{one.name: getattr(waits, one.name) for one in fields(Backoff)}))
