"""The status of a live camera at a moment, and the counts behind it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.states import Condition, State
from msflow_stream.video.reading.source_info import SourceInfo


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """A snapshot of one camera.

    Attributes:
        state, reason, fault: its state, the reason in one line, and the kind of trouble, None where there is none.
        frames_read: frames that arrived, decoded or not; the index of the next one.
        frames_sampled: those of them handed on.
        decode_errors: damaged packets and frames.
        reconnects: attempts to connect again, successful or not.
        segment: number of the connection that gave the last frame, counted from 0; None before the first frame.
        last_wall: when the last frame came.
        lag: seconds behind live; grows while no frame comes. None before the first frame, and for a file.
        info: the present stream, with the size of its last frame; None before the first frame.
    """

    name: str
    state: State
    reason: str
    fault: Fault | None
    frames_read: int
    frames_sampled: int
    decode_errors: int
    reconnects: int
    segment: int | None
    last_wall: datetime | None
    lag: float | None
    info: SourceInfo | None


class Counts:
    """The counts that the reader thread keeps and others look at."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.read = self.sampled = self.errors = self.reconnects = 0
        self.segment: int | None = None
        self.last_wall: datetime | None = None
        self.last_arrival: float | None = None  # seconds of the reader's clock
        self.lag = 0.0  # of the last frame, when it came
        self.info: SourceInfo | None = None

    def snapshot(self, name: str, condition: Condition, now: float) -> CameraStatus:
        """Returns all of it at `now`, in seconds of the reader's clock."""
        with self.lock:
            return CameraStatus(
                name=name,
                state=condition.state,
                reason=condition.reason,
                fault=condition.fault,
                frames_read=self.read,
                frames_sampled=self.sampled,
                decode_errors=self.errors,
                reconnects=self.reconnects,
                segment=self.segment,
                last_wall=self.last_wall,
                lag=None if self.last_arrival is None else self.lag + max(0.0, now - self.last_arrival),
                info=self.info,
            )
